"""What a batch of annotations comes to, ready for the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workbench.records import Change, Reject, Review, Verdict


@dataclass(frozen=True, slots=True)
class Taken:
    """Facts that follow from annotations."""

    reviews: Sequence[tuple[str, Review]] = ()
    """Each with the id of the annotation that it was read from."""
    rejects: Sequence[Reject] = ()
    """Annotations that could not be read."""
    changes: Sequence[Change] = ()
    verdicts: Mapping[str, Sequence[Verdict]] = field(default_factory=dict)
    """Row -> what the gate says of it after the change."""
