"""Tabs of the project: the order in which to look, by class, by pair, by reviewer."""

from collections import Counter
from collections.abc import Mapping, Sequence

from workbench.label_studio import Studio, View
from workbench.ledger import Asked, Project
from workbench.review import ReviewConfig
from workbench.review.decisions import ADJUDICATE

COLUMNS = ("data.label", "data.text", "data.pair", "data.queue", "data.doubt", "predictions_score", "total_annotations")
DOUBT = ("-tasks:data.doubt",)


def make_views(
    studio: Studio, place: Project, asked: Sequence[Asked], pairs: Mapping[str, str], config: ReviewConfig
) -> str:
    """Make or update the tabs; the link to the first of them, where work begins.

    Args:
        studio: where the project is.
        place: the project.
        asked: every task that was planned for it.
        pairs: uid -> confusion pair, of tasks that have one.
        config: how many tabs.
    """
    first = studio.view(place.number, View("Most doubtful first", (), DOUBT, COLUMNS))
    for title, column in (("By class", "data.label"), ("By pair", "data.pair")):
        if column == "data.label" or pairs:
            studio.view(place.number, View(title, (), (f"tasks:{column}", *DOUBT), COLUMNS))
    labels = Counter(str(task.shown["label"]) for task in asked)
    for label in _most(labels, config.tabs):
        studio.view(place.number, View(label, (_equal("data.label", label),), DOUBT, COLUMNS))
    for pair in _most(Counter(pairs.values()), config.tabs):
        studio.view(place.number, View(pair, (_equal("data.pair", pair),), DOUBT, COLUMNS))
    for name in config.reviewers:
        mine = ("data.reviewers", "contains", name, "String")
        studio.view(place.number, View(f"For {name}", (mine,), DOUBT, COLUMNS))
    if any(task.queue == ADJUDICATE for task in asked):
        studio.view(place.number, View("Adjudicate", (_equal("data.queue", ADJUDICATE),), DOUBT, COLUMNS))
    return first


def _equal(column: str, value: str) -> tuple[str, str, str, str]:
    return (column, "equal", value, "String")


def _most(counts: Counter[str], tabs: int) -> list[str]:
    """The largest ones, where there are not too many to tell apart at a glance."""
    return [name for name, _ in counts.most_common()] if len(counts) <= tabs else []
