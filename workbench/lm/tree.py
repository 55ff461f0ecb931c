"""The answers to choose among as one tree of tokens: what they share at their beginning is computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.errors import DataError

Ints = npt.NDArray[np.int64]
ROOT = -1


@dataclass(frozen=True, slots=True)
class TokenTree:
    """Nodes in an order in which parents come before their children; `ROOT` is the end of the prompt."""

    tokens: Ints
    """[nodes] token id of each node."""
    parents: Ints
    """[nodes] its parent node, or `ROOT`."""
    depths: Ints
    """[nodes] tokens of the answer before it."""
    inner: Ints
    """[inner] nodes that have children: only what follows them has to be computed, so only they pass through the model."""
    on_path: npt.NDArray[np.float32]
    """[answers, nodes] 1 where a node lies on an answer's path."""

    @classmethod
    def build(cls, answers: Sequence[Sequence[int]]) -> "TokenTree":
        """The tree of some answers, each as token ids.

        Raises:
            DataError: an answer has no tokens, or two have the same ones: nothing could tell them apart.
        """
        if not answers or not all(answers):
            raise DataError("An answer to choose among has no tokens.", "Give every class a name.")
        if len({tuple(answer) for answer in answers}) < len(answers):
            raise DataError("Two classes have the same answer in tokens.", "Give each class a name of its own.")
        known: dict[tuple[int, int], int] = {}
        paths: list[list[int]] = []
        for answer in answers:
            node, path = ROOT, []
            for token in answer:
                node = known.setdefault((node, int(token)), len(known))
                path.append(node)
            paths.append(path)
        parents = np.array([parent for parent, _ in known], dtype=np.int64)
        depths = np.zeros(len(known), dtype=np.int64)
        for node, parent in enumerate(parents):
            depths[node] = 0 if parent == ROOT else depths[parent] + 1
        on_path = np.zeros((len(paths), len(known)), dtype=np.float32)
        for row, path in enumerate(paths):
            on_path[row, path] = 1
        inner = np.unique(parents[parents != ROOT])
        return cls(np.array([token for _, token in known], dtype=np.int64), parents, depths, inner, on_path)

    @property
    def attention(self) -> npt.NDArray[np.bool_]:
        """[inner, inner] whether a node (row) sees another: itself and its ancestors."""
        place = {int(node): i for i, node in enumerate(self.inner)}
        sees = np.eye(len(self.inner), dtype=np.bool_)
        for i, node in enumerate(self.inner):
            parent = int(self.parents[node])
            if parent != ROOT:
                sees[i] |= sees[place[parent]]
        return sees

    @property
    def sources(self) -> Ints:
        """[nodes] which of [prompt's last token, *inner] predicts each node."""
        place = {ROOT: 0} | {int(node): i for i, node in enumerate(self.inner, start=1)}
        return np.array([place[int(parent)] for parent in self.parents], dtype=np.int64)

    def children(self, path: Sequence[int]) -> list[int]:
        """Tokens that may follow some tokens of an answer; none where it is complete, or is no beginning of an answer."""
        node = ROOT
        for token in path:
            found = np.flatnonzero((self.parents == node) & (self.tokens == token))
            if not len(found):
                return []
            node = int(found[0])
        return [int(token) for token in self.tokens[self.parents == node]]
