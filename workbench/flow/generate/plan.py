"""What to ask for: needs from the command line or the diagnosis, the requests that they become, and what they may cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from workbench.bench import Bench
from workbench.errors import DataError, UsageError, one_of
from workbench.flow.diagnose import Diagnosis, diagnose
from workbench.flow.generate.writer import Writer, class_settings, handmade, strategy_of
from workbench.generate import ClassConfig, class_needs, pair_needs, resolve_label
from workbench.generate.plan import PAIR_STRATEGY, STRATEGY
from workbench.generate.plan import wanted as wanted_rows
from workbench.llm import OpenAIEndpoint, Request
from workbench.records import Need
from workbench.text import han_share

__all__ = ["Estimate", "Planned", "Writer", "accepted_counts", "confused", "estimate", "known_labels", "needs", "plan"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A need, what stands of it, and the first request that would be sent for it; none where no model is asked."""

    need: Need
    accepted: int
    first: Request | None


def accepted_counts(bench: Bench) -> Counter[str]:
    """Accepted synthetic rows of each class."""
    return Counter(sample.label for sample in bench.ledger.accepted())


def needs(
    bench: Bench,
    classes: Sequence[str],
    pairs: Sequence[str | tuple[str, str]],
    *,
    minority: bool,
    accept: int = 0,
    more: int = 0,
    strategy: str = "",
) -> list[Need]:
    """Needs from what the command line names; counts are totals of accepted synthetic rows in this bench.

    Args:
        bench: where the rows are.
        classes: names or numbers of classes.
        pairs: as `A:B`, names or numbers, or as two names.
        minority: all classes that the diagnosis finds too small, each up to its target.
        accept: the total for each class; 0 for what the class's settings say, the diagnosis' target, or the configured number.
        more: rows on top of those accepted so far, instead of a total.
        strategy: its name; where empty, that of the class's settings, or `minority`, and `pair` for pairs.

    Raises:
        UsageError: nothing is named, a class or strategy is unknown, or a pair is malformed.
    """
    labels, ids = known_labels(bench)
    if strategy:
        _check_strategy(bench, strategy, pairs=bool(pairs))
    named = [resolve_label(name, labels, ids) for name in classes]
    couples = [_pair(pair, labels, ids) if isinstance(pair, str) else pair for pair in pairs]
    targets: Mapping[str, int] = diagnose(bench).targets if minority else {}
    wanted = list(dict.fromkeys([*named, *targets]))
    if not wanted and not couples and not minority:
        raise UsageError(
            "Nothing is named to generate for.", "Give --class NAME, --pair A:B, --confusions N or --minority."
        )
    known = class_settings(bench)
    count = _Counts(bench, known, targets, accept, more)
    every = dict.fromkeys([*wanted, *(label for couple in couples for label in couple)])
    counts = {label: count(label) for label in every}
    by = {label: strategy or known.get(label, ClassConfig()).strategy or STRATEGY for label in wanted}
    found = class_needs([label for label in wanted if label in named], counts, "named", by)
    found += class_needs([label for label in wanted if label not in named], counts, "too few rows", by)
    found = _with_partners(bench, found)
    for left, right in couples:
        found += pair_needs(left, right, counts, strategy or PAIR_STRATEGY)
    # A pair that is named from both sides is one pair.
    return list({(need.strategy, need.label, need.against): need for need in found}.values())


def refill(bench: Bench) -> list[Need]:
    """Needs that replace what people refused: each class up to the accepted rows that it had when rows were put to people.

    Rows that wait for someone to look are not replaced yet.
    """
    have = accepted_counts(bench)
    pending = Counter(
        c.sample.label for c in bench.ledger.candidates() if c.passed and c.judgement.state in ("withheld", "disputed")
    )
    counts = {label: count - pending[label] for label, count in bench.ledger.people.most_accepted().items()}
    known = class_settings(bench)
    short = [label for label, count in counts.items() if have[label] < count]
    by = {label: known.get(label, ClassConfig()).strategy or STRATEGY for label in short}
    return _with_partners(bench, class_needs(short, counts, "replaces refused rows", by))


class _Counts:
    """Accepted rows wanted for a class: command line, then the class's settings, then the diagnosis, then what holds for all."""

    def __init__(
        self, bench: Bench, known: Mapping[str, ClassConfig], targets: Mapping[str, int], accept: int, more: int
    ) -> None:
        self.default, self.known, self.targets = bench.config.generate.accept, known, targets
        self.accept, self.more = accept, more
        self.have = accepted_counts(bench)
        self.rows = Counter(sample.label for sample in bench.ledger.samples(split="train"))

    def __call__(self, label: str) -> int:
        if self.more:
            return self.have[label] + self.more
        known = self.known.get(label, ClassConfig())
        return self.accept or wanted_rows(known, self.rows[label], self.targets.get(label, 0), self.default)


def _check_strategy(bench: Bench, name: str, *, pairs: bool) -> None:
    known = bench.config.generate.strategies
    if name not in known:
        raise UsageError(f"There is no strategy {name!r}.", one_of(name, known))
    if pairs and not getattr(known[name], "paired", False):
        fit = [other for other, strategy in known.items() if getattr(strategy, "paired", False)]
        raise UsageError(f"The strategy {name!r} does not write for pairs.", f"These do: {', '.join(fit)}")


def _with_partners(bench: Bench, needs: Sequence[Need]) -> list[Need]:
    """Give a class whose strategy writes at a boundary the partner with which it is confused most."""
    if not any(getattr(strategy_of(bench, need), "paired", False) for need in needs):
        return list(needs)
    matrix = diagnose(bench).matrix
    assert matrix is not None  # only a diagnosis of counts has none
    mass = matrix.mass + matrix.mass.T
    found = []
    for need in needs:
        if getattr(strategy_of(bench, need), "paired", False):
            if need.label not in matrix.labels or len(matrix.labels) < 2:
                raise UsageError(f"{need.label!r} has no rows to be confused.", "Name the pair: --pair A:B")
            partner = matrix.labels[int(mass[matrix.labels.index(need.label)].argmax())]
            why = f"{need.why}; confused most with {partner}"
            need = replace(need, against=partner, why=why)
        found.append(need)
    return found


def confused(diagnosis: Diagnosis, most: int) -> list[tuple[str, str]]:
    """The pairs of classes that are confused most, at most so many; each pair once, whichever way it is confused."""
    found: dict[frozenset[str], tuple[str, str]] = {}
    matrix = diagnosis.matrix
    for pair in matrix.top(matrix.mass.size) if matrix is not None and most else ():
        found.setdefault(frozenset((pair.source, pair.target)), (pair.source, pair.target))
        if len(found) == most:
            break
    return list(found.values())


def _pair(text: str, labels: Sequence[str], ids: Mapping[str, str]) -> tuple[str, str]:
    """Two classes from `A:B`; a class name may hold a colon itself, so every colon is tried."""
    for i, char in enumerate(text):
        if char in ":：":
            try:
                return resolve_label(text[:i], labels, ids), resolve_label(text[i + 1 :], labels, ids)
            except UsageError:
                continue
    left, _, right = text.partition(":")
    if not right:
        raise UsageError(f"--pair {text!r} is not of the form A:B.", "Write: --pair 14:6, or names instead of numbers.")
    resolve_label(left, labels, ids)
    resolve_label(right, labels, ids)
    raise UsageError(f"--pair {text!r} names no two classes.", "Write: --pair A:B")


def plan(bench: Bench, needs: Sequence[Need]) -> list[Planned]:
    """What would be asked, without asking: each need with its first request, rendered."""
    writer = Writer(bench, needs)
    have = accepted_counts(bench)
    return [
        Planned(
            need,
            have[need.label],
            writer.request(need, 0) if have[need.label] < need.count and not handmade(bench, need) else None,
        )
        for need in needs
    ]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a generation may take; a guess from lengths, printed by --dry-run."""

    requests: int
    tokens_in: int
    tokens_out: int
    cost: Decimal | None
    currency: str


def estimate(bench: Bench, planned: Sequence[Planned]) -> Estimate:
    """Requests, tokens and cost of a plan, if the gate passes as many rows as it did so far (60 % before it saw any)."""
    candidates = bench.ledger.candidates()
    share = sum(c.accepted for c in candidates) / len(candidates) if candidates else 0.6
    rows = bench.ledger.samples(split="train")
    row = sum(tokens(sample.text) for sample in rows) / max(1, len(rows))
    requests = tokens_in = written = 0
    for one in planned:
        if one.first is None:
            continue
        calls = -(-(one.need.count - one.accepted) // max(1, int(one.first.rows * max(share, 0.1))))
        requests += calls
        written += calls * one.first.rows
        tokens_in += calls * sum(tokens(message["content"]) for message in one.first.messages)
    tokens_out = int(written * (row + 4))
    endpoint = next((e for e in bench.config.llm.endpoints if isinstance(e, OpenAIEndpoint)), None)
    if endpoint is None or endpoint.price_in is None or endpoint.price_out is None:
        return Estimate(requests, tokens_in, tokens_out, None, "")
    cost = (endpoint.price_in * tokens_in + endpoint.price_out * tokens_out) / 1_000_000
    return Estimate(requests, tokens_in, tokens_out, cost, endpoint.currency)


def tokens(text: str) -> int:
    """A guess at the tokens of a text: 0.7 a Chinese character, 0.25 any other (current multilingual tokenizers)."""
    return int(len(text) * (0.25 + 0.45 * han_share(text))) + 1


def known_labels(bench: Bench) -> tuple[list[str], dict[str, str]]:
    """Names of the classes in order of first appearance, and the numbers that the data give them.

    Raises:
        DataError: the bench has no rows.
    """
    rows = bench.ledger.samples()
    names = list(dict.fromkeys([*(sample.label for sample in rows if sample.label), *bench.config.labels]))
    if not names:
        raise DataError("This bench has no rows yet.", "Add some with: wb data add FILE")
    return names, bench.ledger.label_ids()
