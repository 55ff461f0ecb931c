"""`wb review watch`: pull again and again."""

import time
from collections.abc import Iterator

from workbench.bench import Bench
from workbench.flow.review.deliver import waiting
from workbench.flow.review.kinds import KINDS
from workbench.flow.review.pull import Pulled, pull


def watch(bench: Bench, every: float, *, until_done: bool) -> Iterator[tuple[Pulled, int]]:
    """Each pull with the tasks that wait after it.

    Args:
        bench: whose projects to read.
        every: seconds between two looks.
        until_done: end when nothing waits, instead of never.
    """
    while True:
        pulled = pull(bench)
        open_tasks = sum(len(waiting(bench, kind)) for kind in KINDS)
        yield pulled, open_tasks
        if until_done and not open_tasks:
            return
        time.sleep(every)
