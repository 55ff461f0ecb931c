"""How likely a causal language model finds each answer: all of them in one pass, as a tree behind a shared prefix.

A prompt is [what all prompts share | what is the text's own]. The shared part is computed once and kept as a key-value cache.
Behind it go, in one forward pass of a whole batch, each text's own part and the inner nodes of the answers' token tree: a node
sees the prompt, its ancestors and itself (4D attention mask), and stands where its depth puts it (position ids), so that it
gets the very logits it would have in a sequence of its own. Logits become log-probabilities in float32.

Likelihoods equal those of one sequence per answer up to rounding: in float32 to about 1e-4; in bfloat16 either way of computing
them is off by up to half a nat, so models that are compared should be scored in float32, or all by the same way.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.errors import WorkbenchError
from workbench.lm.cut import cut_to_fit
from workbench.lm.memory import in_batches, short_of_memory
from workbench.lm.reference import repeated
from workbench.lm.tree import TokenTree

Scores = npt.NDArray[np.float32]
Prompt = Callable[[str], Sequence[int]]
CUT = "cut"
"""Name of the count of texts that were cut."""


class LabelScorer:
    """Log-likelihoods of a fixed list of answers after any prompt; not safe for several threads at once."""

    def __init__(
        self, model: Any, prompt: Prompt, answers: Sequence[Sequence[int]], *, batch: int = 8, context: int = 0
    ) -> None:
        """Keep the model and build the tree; nothing is computed yet.

        Args:
            model: a causal language model of `transformers`, or one that peft has wrapped; it is set to eval mode.
            prompt: token ids of the prompt for a text, up to where the answer begins.
            answers: token ids of each answer, the end token included where the model was taught to end.
            batch: texts at a time; halved where memory is short.
            context: most tokens of prompt and answer; those of the model's positions where 0.

        Raises:
            DataError: answers that cannot be told apart, see `TokenTree.build`.
        """
        self.model, self._prompt = model.eval(), prompt
        self.answers = [tuple(int(token) for token in answer) for answer in answers]
        self._trees: dict[tuple[int, ...], TokenTree] = {}
        self._most = len(self.answers)
        self._tree(tuple(range(self._most)))
        self.batch = batch
        self.context = context or int(getattr(model.config, "max_position_embeddings", 0) or 1 << 20)
        self.counts: Counter[str] = Counter()
        """`cut`: texts that were cut to fit; `retries`: batches that were tried again smaller."""
        self.by_tree = takes_trees(model, self.context)
        """Whether answers go in as a tree; else one copy of the prompt's cache per answer, which any model can do."""
        self._prefix: tuple[int, ...] | None = None
        self._cache: Any = None

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[k] tokens of each answer."""
        return np.array([len(answer) for answer in self.answers], dtype=np.int64)

    def prompt_ids(self, text: str) -> list[int]:
        """The prompt of a text, whose oldest turns are left out (and counted) where it would be too long.

        Raises:
            WorkbenchError: the prompt is too long even without a text.
        """
        room = self.context - int(self.lengths.max())
        ids = list(self._prompt(text))
        if len(ids) > room:
            kept, _ = cut_to_fit(text, lambda some: len(self._prompt(some)) <= room)
            ids = list(self._prompt(kept))
            if len(ids) > room:
                raise WorkbenchError(
                    f"The prompt alone has {len(ids)} tokens; this model has room for {room} and an answer.",
                    "Shorten the system prompt and its list of classes, or take a model with a longer context.",
                )
            self.counts[CUT] += 1
        return ids

    def log_likelihoods(self, texts: Sequence[str]) -> Scores:
        """[n, k] log-probability of each answer after each text's prompt.

        Raises:
            WorkbenchError: one text with one answer does not fit into memory.
        """
        if not texts:
            return np.zeros((0, len(self.answers)), dtype=np.float32)
        prompts = [self.prompt_ids(text) for text in texts]
        order = sorted(
            range(len(prompts)), key=lambda i: -len(prompts[i])
        )  # like lengths together; the longest fail first
        rows = in_batches([prompts[i] for i in order], self.batch, self._rows, self.counts)
        found = np.zeros((len(prompts), len(self.answers)), dtype=np.float32)
        found[order] = np.stack(rows)
        return found

    def _rows(self, prompts: Sequence[Sequence[int]]) -> list[Scores]:
        """[k] of each prompt; for one prompt alone the tree is split where memory is short."""
        if not self.by_tree:
            return [repeated(self.model, prompt, self.answers) for prompt in prompts]
        if len(prompts) > 1:
            return list(self._pass(prompts, self._tree(tuple(range(len(self.answers))))))
        which = range(len(self.answers))
        columns = in_batches(which, self._most, lambda some: self._columns(prompts, some), self.counts)
        return [np.array(columns, dtype=np.float32)]

    def _columns(self, prompts: Sequence[Sequence[int]], which: Sequence[int]) -> list[float]:
        """Likelihoods of some answers after one prompt."""
        try:
            return [float(value) for value in self._pass(prompts, self._tree(tuple(which)))[0]]
        except (MemoryError, RuntimeError) as error:
            if short_of_memory(error):  # the next text does not try what did not fit
                self._most = (len(which) + 1) // 2
            raise

    def _tree(self, which: tuple[int, ...]) -> TokenTree:
        if which not in self._trees:
            self._trees[which] = TokenTree.build([self.answers[i] for i in which])
        return self._trees[which]

    def _pass(self, prompts: Sequence[Sequence[int]], tree: TokenTree) -> Scores:
        """[n, answers of the tree] in one forward pass behind the shared prefix.

        Each text's own part is padded on the left, so that its last token stands in the same column in all rows: logits are
        computed for that column and the tree alone.
        """
        import torch

        device = self.model.get_input_embeddings().weight.device
        shared = self._shared(prompts)
        own = [list(prompt[shared:]) for prompt in prompts]
        ids, positions, mask = _layout(own, shared, tree)
        width = max(map(len, own))
        with torch.inference_mode():
            cache = deepcopy(self._cache)
            if cache is not None:
                cache.batch_repeat_interleave(len(prompts))
            logits = self.model(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=self._additive(mask, device),
                position_ids=torch.from_numpy(positions).to(device),
                past_key_values=cache,
                use_cache=cache is not None,
                logits_to_keep=torch.arange(width - 1, ids.shape[1], device=device),
            ).logits.float()
            source = torch.from_numpy(tree.sources).to(device)
            token = torch.from_numpy(tree.tokens).to(device)
            each = logits[:, source, token] - torch.logsumexp(logits, dim=-1)[:, source]
            found = each @ torch.from_numpy(tree.on_path.T.copy()).to(device)
        scores: Scores = found.cpu().numpy().astype(np.float32)
        return scores

    def _additive(self, mask: npt.NDArray[np.bool_], device: Any) -> Any:
        """[n, 1, queries, keys] 0 where a key is seen, the smallest number of the model's precision elsewhere."""
        import torch

        dtype = self.model.get_input_embeddings().weight.dtype
        if not dtype.is_floating_point:
            dtype = self.model.dtype
        seen = torch.from_numpy(mask).to(device)[:, None]
        return torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, torch.finfo(dtype).min)

    def _shared(self, prompts: Sequence[Sequence[int]]) -> int:
        """Length of the cached prefix, made or shortened so that all these prompts begin with it and go on behind it."""
        import torch

        if self._prefix is None:  # what unlike texts have in common is what every text has
            prompts = [*prompts, *(self._prompt(probe) for probe in ("a", "1 ?"))]
            self._prefix = tuple(int(token) for token in prompts[0])
        shared = min(common(self._prefix, prompt[:-1]) for prompt in prompts)
        if self._cache is None or shared < len(self._prefix):
            self._prefix, self._cache = self._prefix[:shared], None
            if shared:
                device = self.model.get_input_embeddings().weight.device
                with torch.inference_mode():
                    ids = torch.tensor([self._prefix], device=device)
                    self._cache = self.model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        return shared


def takes_trees(model: Any, context: int) -> bool:
    """Whether every layer of a model attends to all that a 4D mask lets it: no recurrence, no window, no fused kernel.

    Args:
        model: its `config` is asked.
        context: longest sequence; a window that is wider changes nothing.
    """
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention" if window else "full_attention"])
    if kinds - {"full_attention"} and not (
        kinds <= {"full_attention", "sliding_attention"} and (window or 0) >= context
    ):
        return False
    return getattr(config, "_attn_implementation", "sdpa") in ("sdpa", "eager", None)


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _layout(
    own: Sequence[Sequence[int]], shared: int, tree: TokenTree
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Token ids [n, q], positions [n, q] and what sees what [n, q, shared + q] of texts and tree, q = longest own part + inner."""
    width, inner = max(map(len, own)), len(tree.inner)
    queries = width + inner
    ids = np.zeros((len(own), queries), dtype=np.int64)
    positions = np.zeros((len(own), queries), dtype=np.int64)
    mask = np.zeros((len(own), queries, shared + queries), dtype=np.bool_)
    mask[:, :, :shared] = True
    mask[:, range(queries), range(shared, shared + queries)] = (
        True  # padding sees itself: a row of nothing is not a number
    )
    ids[:, width:] = tree.tokens[tree.inner]
    mask[:, width:, shared + width :] = tree.attention
    for row, tokens in enumerate(own):
        start = width - len(tokens)
        ids[row, start:width] = tokens
        positions[row, start:width] = np.arange(shared, shared + len(tokens))
        positions[row, width:] = shared + len(tokens) + tree.depths[tree.inner]
        mask[row, start:width, shared + start : shared + width] |= np.tril(np.ones((len(tokens),) * 2, dtype=np.bool_))
        mask[row, width:, shared + start : shared + width] = True
    return ids, positions, mask
