"""Whom to show next: the bench's candidates, lots and reviews, put before the queue; what it says is stored."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from workbench.bench import Bench
from workbench.errors import ConfigError
from workbench.flow.generate.plan import accepted_counts, known_labels
from workbench.flow.review.beside import Context
from workbench.generate import resolve_label
from workbench.ledger import Candidate
from workbench.records import Review
from workbench.review import Queue, Rules


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says beside the settings."""

    whole: tuple[str, ...] = ()
    """Classes of which every candidate is put to people."""
    share: float | None = None
    """Fixed share of each lot instead of acceptance sampling."""
    audit: int = 0
    """Candidates that the gate dropped, to be looked at, too."""


def plan(bench: Bench, options: Options) -> Context:
    """Store which rows are to be looked at, and which are held back; nothing where nothing is due."""
    candidates = bench.ledger.candidates()
    context = Context(bench, candidates)
    queue = queue_of(bench, candidates, options)
    found = queue.plan(context.doubts, str(len(bench.ledger.operations())))
    audit = queue.audit(options.audit, {task.sample for task in found.asked}) if options.audit else []
    if found or audit:
        with bench.ledger.write("review", "plan", {"accepted": dict(accepted_counts(bench))}) as writer:
            writer.lots(found.lots)
            writer.asked([*found.asked, *audit])
            writer.reviews([("", _hold(row)) for row in found.held])
    return context


def hold_failed(bench: Bench) -> int:
    """Hold back the unseen rows of lots whose sample failed. Returns how many."""
    if not bench.ledger.people.lots():  # also a bench without rows, where answers are rated
        return 0
    queue = queue_of(bench, bench.ledger.candidates(), Options())
    held = [row for state in queue.states() for row in queue.to_hold(state)]
    if held:
        with bench.ledger.write("review", "hold", {"rows": len(held)}) as writer:
            writer.reviews([("", _hold(row)) for row in held])
    return len(held)


def queue_of(bench: Bench, candidates: list[Candidate], options: Options) -> Queue:
    """The queue as it stands in the ledger."""
    people = bench.ledger.people
    return Queue(candidates, people.lots(), people.asked("review"), people.draws(), rules(bench, options))


def rules(bench: Bench, options: Options) -> Rules:
    """Settings and command line as one.

    Raises:
        ConfigError: two reviewers shall do a task, and fewer are named.
        UsageError: a class is not known.
    """
    config = bench.config.review
    if config.overlap and len(config.reviewers) < 2:
        raise ConfigError(
            f"review.overlap is {config.overlap}, and review.reviewers names {len(config.reviewers)}.",
            "Name at least two reviewers, or set review.overlap to 0.",
        )
    labels, ids = known_labels(bench)
    whole = {resolve_label(name, labels, ids) for name in options.whole}
    if config.full_below:
        counts = Counter(sample.label for sample in bench.ledger.samples(split="train"))
        whole |= {label for label in labels if counts[label] < config.full_below}
    return Rules(
        config.sampling,
        config.sample if options.share is None else options.share,
        config.doubtful,
        config.defects,
        whole,
        config.reviewers,
        config.overlap,
        bench.config.seed,
    )


def _hold(row: str) -> Review:
    return Review(row, "", "hold", "", datetime.now(UTC).isoformat(timespec="milliseconds"))
