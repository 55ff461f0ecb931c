"""What to ask for: needs from the command line or the diagnosis, the requests that they become, and what they may cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from workbench.bench import Bench
from workbench.errors import DataError, UsageError
from workbench.generate import Shown, build_request, class_needs, pair_needs, resolve_label, roles_of
from workbench.llm import OpenAIEndpoint, Request
from workbench.prompts import Prompt, load
from workbench.records import Need, by_label
from workbench.text import han_share, language


@dataclass(frozen=True, slots=True)
class Planned:
    """A need, what stands of it, and the first request that would be sent for it."""

    need: Need
    accepted: int
    first: Request | None


def accepted_counts(bench: Bench) -> Counter[str]:
    """Accepted synthetic rows of each class."""
    return Counter(sample.label for sample in bench.ledger.accepted())


def needs(
    bench: Bench, classes: Sequence[str], pairs: Sequence[str], *, minority: bool, accept: int = 0, more: int = 0
) -> list[Need]:
    """Needs from what the command line names; counts are totals of accepted synthetic rows in this bench.

    Args:
        bench: where the rows are.
        classes: names or numbers of classes.
        pairs: as `A:B`, names or numbers.
        minority: all classes that the diagnosis finds too small, each up to its target.
        accept: the total for each class; 0 for the diagnosis' target, or the configured number.
        more: rows on top of those accepted so far, instead of a total.

    Raises:
        UsageError: nothing is named, a class is unknown, or a pair is malformed.
    """
    labels, ids = known_labels(bench)
    named = [resolve_label(name, labels, ids) for name in classes]
    couples = [_pair(text, labels, ids) for text in pairs]
    targets: Mapping[str, int] = {}
    if minority:
        from workbench.flow.diagnose import diagnose

        targets = diagnose(bench).targets
    wanted = list(dict.fromkeys([*named, *targets]))
    if not wanted and not couples and not minority:
        raise UsageError("Nothing is named to generate for.", "Give --class NAME, --pair A:B or --minority.")
    have = accepted_counts(bench)

    def count(label: str) -> int:
        return have[label] + more if more else accept or targets.get(label, 0) or bench.config.generate.accept

    counts = {label: count(label) for label in [*wanted, *(label for couple in couples for label in couple)]}
    found = class_needs([label for label in wanted if label in named], counts, "named")
    found += class_needs([label for label in wanted if label not in named], counts, "too few rows")
    for left, right in couples:
        found += pair_needs(left, right, counts)
    # A pair that is named from both sides is one pair.
    return list({(need.strategy, need.label, need.against): need for need in found}.values())


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
        Planned(need, have[need.label], writer.request(need, 0) if have[need.label] < need.count else None)
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
    requests = tokens_in = 0
    batch = bench.config.generate.batch_size
    for one in planned:
        if one.first is None:
            continue
        calls = -(-(one.need.count - one.accepted) // max(1, int(batch * max(share, 0.1))))
        requests += calls
        tokens_in += calls * sum(tokens(message["content"]) for message in one.first.messages)
    tokens_out = int(requests * batch * (row + 4))
    endpoint = next((e for e in bench.config.llm.endpoints if isinstance(e, OpenAIEndpoint)), None)
    if endpoint is None or endpoint.price_in is None or endpoint.price_out is None:
        return Estimate(requests, tokens_in, tokens_out, None, "")
    cost = (endpoint.price_in * tokens_in + endpoint.price_out * tokens_out) / 1_000_000
    return Estimate(requests, tokens_in, tokens_out, cost, endpoint.currency)


def tokens(text: str) -> int:
    """A guess at the tokens of a text: 0.7 a Chinese character, 0.25 any other (current multilingual tokenizers)."""
    return int(len(text) * (0.25 + 0.45 * han_share(text))) + 1


class Writer:
    """Makes requests: prompt files, real rows and definitions of the bench."""

    def __init__(self, bench: Bench, needs: Sequence[Need]) -> None:
        self._bench = bench
        rows = bench.ledger.samples(split="train")
        self.rows = by_label(rows)
        config = bench.config.generate
        tongue = config.language if config.language != "auto" else language(sample.text for sample in rows)
        names = {need.strategy: f"{need.strategy}.{tongue}.j2" for need in needs}
        self.prompts: dict[str, Prompt] = {key: load(name, [bench.root]) for key, name in names.items()}
        self._about = {label: known.about for label, known in bench.config.labels.items()}
        self.roles = roles_of(rows)

    def request(self, need: Need, draw: int) -> Request:
        """Request number `draw` for a need."""
        shown = Shown(self.rows.get(need.label, ()), self.rows.get(need.against, ()), self._about)
        config = self._bench.config
        return build_request(
            need,
            shown,
            self.prompts[need.strategy],
            rows=config.generate.batch_size,
            examples=config.generate.examples,
            draw=draw,
            seed=config.seed,
        )


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
