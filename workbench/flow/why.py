"""A row's whole story: where it came from, what was changed, what the gates said, where it was used."""

from dataclasses import dataclass

from workbench.bench import Bench
from workbench.ledger import Operation, Reply, Run
from workbench.records import Change, Sample, Verdict


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that the ledger knows of one row."""

    sample: Sample
    changes: tuple[tuple[Operation, Change], ...]
    reply: Reply | None
    position: int | None
    """Place of the row in its reply, from 0."""
    siblings: int
    """Rows that came with the same reply, this one included; they share its cost."""
    parents: tuple[Sample, ...]
    """Real rows that were shown in the prompt."""
    verdicts: tuple[tuple[Operation, tuple[Verdict, ...]], ...]
    children: tuple[str, ...]
    """Ids of synthetic rows whose prompt showed this row."""
    versions: tuple[str, ...]
    runs: tuple[Run, ...]


def why(bench: Bench, sample_id: str) -> Story:
    """The story of the row with this id, or a unique beginning of one.

    Raises:
        DataError: there is no such row, or several.
    """
    ledger = bench.ledger
    sample = ledger.sample(sample_id)
    reply = ledger.reply(sample.origin.reply) if sample.origin and sample.origin.reply else None
    rows = [candidate.sample for candidate in ledger.candidates()]
    brood = [row.id for row in rows if reply and row.origin and row.origin.reply == reply.id]
    versions = ledger.versions_of(sample.id)
    return Story(
        sample,
        tuple(ledger.changes_of(sample.id)),
        reply,
        brood.index(sample.id) if sample.id in brood else None,
        len(brood),
        tuple(ledger.sample(parent) for parent in (sample.origin.parents if sample.origin else ())),
        tuple((operation, tuple(verdicts)) for operation, verdicts in ledger.verdict_history(sample.id)),
        tuple(row.id for row in rows if row.origin and sample.id in row.origin.parents),
        tuple(versions),
        tuple(run for run in ledger.runs() if run.version in versions),
    )
