"""Candidates and people: whom to show, tasks, what came back, and what it says. Pure: records in, records out."""

from pydantic import Field

from workbench.config import Strict
from workbench.records import Decision
from workbench.review import decisions, shown, tasks
from workbench.review.queue import LotState, Plan, Queue, Rules
from workbench.review.rating import RatingConfig
from workbench.review.sampling import SamplingConfig

__all__ = ["LotState", "Plan", "Queue", "ReviewConfig", "Rules", "SamplingConfig", "decisions", "shown", "tasks"]


class ReviewConfig(Strict):
    """Settings of `wb review`."""

    url: str = ""
    """Address of a Label Studio that runs already, as http://labels.example:8080; where empty, `wb review start` runs one."""
    token_env: str = "LABEL_STUDIO_API_KEY"
    """Environment variable with a token for it: a legacy one, or a personal access token."""
    config: str = "review.xml"
    """Label config of candidates, from label_configs/ of the bench or a shipped one."""
    sample: float = Field(0.0, ge=0, le=1)
    """Look at this share of each lot, whatever is found; 0 for acceptance sampling."""
    sampling: SamplingConfig = SamplingConfig()
    """What acceptance sampling promises of the rows that nobody looks at."""
    full_below: int = Field(0, ge=0)
    """Look at every candidate of classes with fewer real training rows than this."""
    doubtful: float = Field(0.0, ge=0, le=1)
    """Look at this share of each lot on top, the most doubtful rows first."""
    examples: int = Field(4, ge=0)
    """Real rows of a class shown beside a candidate, the nearest ones."""
    reviewers: tuple[str, ...] = ()
    """Who reviews, by e-mail or by name of the account; each gets a tab. Empty: anyone takes the next task."""
    overlap: float = Field(0.0, ge=0, le=1)
    """Share of the tasks that two reviewers get, to see how far they agree; needs two reviewers."""
    reasons: tuple[str, ...] = ("unnatural", "wrong_class", "duplicate", "unsafe", "truncated")
    """Reasons for which a row can be rejected."""
    defects: tuple[Decision, ...] = ("edit", "relabel", "reject")
    """Decisions that count a row as defective; one that nobody could decide on always does."""
    wage: float = Field(0.0, ge=0)
    """What an hour of a reviewer costs, in the currency of the endpoints."""
    tabs: int = Field(12, ge=0)
    """Most tabs of single classes, and of single pairs; further ones are found in the tabs sorted by class or pair."""
    rating: RatingConfig = RatingConfig()
    """What people rate of the answers of models."""
