"""Where a longer command stops for people."""

from collections.abc import Callable

from workbench.bench import Bench
from workbench.errors import Waiting
from workbench.flow.review.plan import Options
from workbench.flow.review.pull import pull
from workbench.flow.review.push import push


def wait_for_people(bench: Bench, progress: Callable[[str], None]) -> None:
    """Fetch what people said, put to them what is due, and go on if nothing waits.

    Raises:
        Waiting: they have work to do.
    """
    if bench.ledger.people.project("review") is not None:
        progress(f"review    {pull(bench).say}")
    pushed = push(bench, Options(), progress=lambda line: progress(f"review    {line}"))
    progress(f"review    {pushed.say}")
    if pushed.waiting:
        raise Waiting(
            f"{pushed.waiting} tasks wait for people: {pushed.work}",
            "When they are done, the same command goes on from there.",
        )
