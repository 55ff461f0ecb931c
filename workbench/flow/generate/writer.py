"""Makes requests: what the bench knows of a need, put before its strategy."""

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.bench import Bench
from workbench.errors import ConfigError, DataError, UsageError
from workbench.flow.review.hints import hints
from workbench.flow.signals import out_of_fold, vectors
from workbench.generate import ClassConfig, Draw, Handmade, Prompted, Shown, Strategy, resolve_label, roles_of
from workbench.generate.attributes import DEFAULTS
from workbench.generate.taboo import taboo_words
from workbench.llm import Request
from workbench.prompts import Prompt, load
from workbench.records import Need, Sample, by_label
from workbench.similarity import centred, nearest
from workbench.text import language

BLOCK = 4
"""Taboo words and outliers are frozen for draws 0 to 3, 4 to 7, 8 to 15, 16 to 31, ...: what a class over-uses changes slowly."""


class Writer:
    """Makes requests: prompt files, real rows and definitions of the bench, and what its accepted rows have come to."""

    def __init__(self, bench: Bench, needs: Sequence[Need]) -> None:
        """Find everything that the needs will take; what reviewers had against rows of a class becomes hints.

        Raises:
            ConfigError: a prompt file is not there.
            DataError: rows of a class are to be rewritten, and it has none.
        """
        self._bench, self._reasons = bench, hints(bench)
        real = bench.ledger.samples(split="train")
        self._real = real
        self.rows = by_label(real)
        config = bench.config.generate
        self._tongue = config.language if config.language != "auto" else language(sample.text for sample in real)
        shipped = DEFAULTS.get(self._tongue, DEFAULTS["en"])
        self._attributes = shipped if config.attributes is None else config.attributes
        self._about = {label: known.about for label, known in bench.config.labels.items()}
        self.roles = roles_of(real)
        self._known = class_settings(bench)
        self.prompts = {name: load(name, [bench.root]) for name in map(self._prompt_name, needs) if name}
        for need in needs:
            strategy = strategy_of(bench, need)
            if isinstance(strategy, Prompted) and strategy.rewrites and not self.rows.get(need.label):
                raise DataError(
                    f"The class {need.label!r} has no real rows that {need.strategy!r} could rewrite.",
                    "Add some with `wb data add`, or choose another strategy, as --strategy minority.",
                )
        self._accepted: dict[str, list[Sample]] | None = None
        self._frozen: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
        self._likeness: dict[str, Mapping[str, float]] | None = None
        self._hard: dict[tuple[str, str], Mapping[str, float]] = {}

    def request(self, need: Need, draw: int) -> Request:
        """Request number `draw` for a need.

        Raises:
            UsageError: the strategy asks no model.
        """
        strategy = strategy_of(self._bench, need)
        if not isinstance(strategy, Prompted):
            raise UsageError(f"The strategy {need.strategy!r} asks no model.", "Its rows are made by `wb generate`.")
        config, known = self._bench.config, self._of(need.label)
        rows = known.batch_size or config.generate.batch_size
        examples = config.generate.examples if known.examples is None else known.examples
        taboo, outliers = self._so_far(need.label, draw)
        shown = Shown(
            self.rows.get(need.label, ()),
            self.rows.get(need.against, ()),
            self._about,
            self._hardness(need) if strategy.paired else {},
            self._attributes,
            taboo,
            [*known.hints, *self._reasons.get(need.label, ())],
            outliers,
        )
        return strategy.request(need, shown, self._prompt(need), Draw(draw, config.seed, rows, examples))

    def learn(self, accepted: Sequence[Sample]) -> None:
        """Take note of newly accepted rows: later requests avoid what they over-use."""
        known = self._so_far_accepted()
        for sample in accepted:
            known.setdefault(sample.label, []).append(sample)

    def _of(self, label: str) -> ClassConfig:
        return self._known.get(label, ClassConfig())

    def _prompt_name(self, need: Need) -> str:
        """The class's own prompt before the strategy's before the kind's; empty where no model is asked."""
        strategy = strategy_of(self._bench, need)
        if not isinstance(strategy, Prompted):
            return ""
        name = self._of(need.label).prompt or strategy.prompt or strategy.kind
        return name if name.endswith(".j2") else f"{name}.{self._tongue}.j2"

    def _prompt(self, need: Need) -> Prompt:
        return self.prompts[self._prompt_name(need)]

    def _so_far_accepted(self) -> dict[str, list[Sample]]:
        if self._accepted is None:
            self._accepted = by_label(self._bench.ledger.accepted())
        return self._accepted

    def _so_far(self, label: str, draw: int) -> tuple[list[str], list[str]]:
        """Taboo words and outliers of the class for the block of a draw, kept from its first request on."""
        place = (label, (draw // BLOCK).bit_length())
        if place not in self._frozen:
            config = self._bench.config.generate
            made = list(self._so_far_accepted().get(label, ())) if config.taboo or config.outliers else []
            real = [sample.text for sample in self.rows.get(label, ())]
            taboo = taboo_words([sample.text for sample in made], real, config.taboo)
            self._frozen[place] = taboo, self._outliers(label, made, config.outliers)
        return self._frozen[place]

    def _outliers(self, label: str, made: Sequence[Sample], most: int) -> list[str]:
        """The accepted rows whose nearest real row of the class is farthest."""
        own = self.rows.get(label, ())
        if not most or not made or not own:
            return []
        mean = vectors(self._bench, self._real).mean(axis=0)
        _, cosine = nearest(centred(vectors(self._bench, made), mean), centred(vectors(self._bench, own), mean))
        return [made[i].text for i in np.argsort(cosine[:, 0], kind="stable")[:most]]

    def _hardness(self, need: Need) -> Mapping[str, float]:
        """Real rows of both sides -> out-of-fold probability of the other side."""
        if self._likeness is None:
            found = out_of_fold(self._bench, self._real)
            self._likeness = {
                label: dict(zip(found.ids, map(float, found.probabilities[:, i]), strict=True))
                for i, label in enumerate(found.labels)
            }
        sides = (need.label, need.against)
        if sides not in self._hard:
            self._hard[sides] = {
                sample.id: self._likeness.get(other, {}).get(sample.id, 0.0)
                for own, other in (sides, sides[::-1])
                for sample in self.rows.get(own, ())
            }
        return self._hard[sides]


def strategy_of(bench: Bench, need: Need) -> Strategy:
    """The strategy that a need names."""
    found: Strategy = bench.config.generate.strategies[need.strategy]
    return found


def handmade(bench: Bench, need: Need) -> bool:
    """Whether the rows of a need are made without a model."""
    return isinstance(strategy_of(bench, need), Handmade)


def class_settings(bench: Bench) -> dict[str, ClassConfig]:
    """`generate.classes` by name of the class.

    Raises:
        ConfigError: a class is not there.
    """
    rows = bench.ledger.samples()
    labels = list(dict.fromkeys([*(sample.label for sample in rows), *bench.config.labels]))
    ids = bench.ledger.label_ids()
    found = {}
    for name, known in bench.config.generate.classes.items():
        try:
            found[resolve_label(name, labels, ids)] = known
        except UsageError as exc:
            raise ConfigError(f"generate.classes: {exc.message}", exc.hint) from exc
    return found
