"""Tabs of the project: the order in which to look, by class, by pair, by reviewer."""

from collections import Counter
from collections.abc import Mapping, Sequence

from workbench.label_studio import Filter, Studio, View
from workbench.ledger import Asked, Project
from workbench.review import ReviewConfig
from workbench.review.decisions import ADJUDICATE

COLUMNS = ("data.label", "data.text", "data.pair", "data.queue", "data.doubt", "predictions_score", "total_annotations")
DOUBT = "-data.doubt"


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
    tabs = [_view("Most doubtful first"), _view("By class", order="data.label")]
    tabs += [_view("By pair", order="data.pair")] if pairs else []
    labels = Counter(str(task.shown["label"]) for task in asked)
    tabs += [_view(label, ("data.label", "equal", label, "String")) for label in _few(labels, config.tabs)]
    tabs += [_view(pair, ("data.pair", "equal", pair, "String")) for pair in _few(Counter(pairs.values()), config.tabs)]
    tabs += [_view(f"For {name}", ("data.reviewers", "contains", f"|{name}|", "String")) for name in config.reviewers]
    if any(task.queue == ADJUDICATE for task in asked):
        tabs.append(_view("Adjudicate", ("data.queue", "equal", ADJUDICATE, "String")))
    links = [studio.view(place.number, tab) for tab in tabs]
    return links[0]


def _view(title: str, *filters: Filter, order: str = DOUBT) -> View:
    return View(title, filters, (order,), COLUMNS, ("data.doubt",))


def _few(counts: Counter[str], most: int) -> list[str]:
    """All of them, the largest first, where there are not too many to tell apart at a glance; else none."""
    return [name for name, _ in counts.most_common()] if len(counts) <= most else []
