"""Label Studio's protocol for models: five routes that it calls on the machine that it runs on or can reach.

What `/setup` hands over with the label config is the token of the project's creator. Its field is not declared, so it is never
read, stored, logged or answered.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from workbench.errors import WorkbenchError
from workbench.predictor import Predictor
from workbench.serve.config import ServeConfig
from workbench.serve.fill import Filled, control, fill
from workbench.serve.http import new_app
from workbench.text import shorten

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

Log = Callable[[str], None]
_ACTION = re.compile(r"[A-Z_]{1,40}")


class Request(BaseModel):
    """Fields of requests that we do not use are ignored: Label Studio sends many, and more with each version."""

    model_config = ConfigDict(extra="ignore")


class Setup(Request):
    """What Label Studio sends before it asks for anything else."""

    label_config: str = Field(default="", alias="schema")
    """Label config of the project; empty before it has one."""


class Predict(Request):
    """Tasks to predict."""

    tasks: list[dict[str, Any]]
    label_config: str


class Event(Request):
    """Something happened in the project, or somebody pressed "Start training"."""

    action: str = ""


def label_studio_app(
    predictor: Predictor, config: ServeConfig | None = None, *, versions: Sequence[str] = (), log: Log = lambda _: None
) -> "FastAPI":
    """The app that Label Studio takes for an ML backend.

    Args:
        predictor: the model that answers.
        config: limits.
        versions: names of all models that could be served.
        log: gets a line for every call that does something; never texts, never secrets.

    Raises:
        MissingExtra: FastAPI is not installed.
    """
    app = new_app("wb serve --label-studio", config or ServeConfig())
    app.include_router(label_studio_routes(lambda: predictor, versions=versions, log=log))
    return app


def label_studio_routes(
    model: Callable[[], Predictor], *, versions: Sequence[str] = (), log: Log = lambda _: None
) -> "APIRouter":
    """The routes alone, for an app that has others too; `model` gives the model that answers now."""
    from fastapi import APIRouter

    router = APIRouter(tags=["Label Studio"])
    events: Counter[str] = Counter()

    @router.get("/health")
    def health() -> dict[str, str]:
        """Label Studio gives up after one second."""
        return {"status": "UP", "model_version": model().version}

    @router.post("/setup")
    def setup(request: Setup) -> dict[str, str]:
        """Comes before nearly every other call. Refuses a config that cannot be filled, so that connecting fails, not labelling."""
        predictor = model()
        if request.label_config.strip():
            with _logged(log, "setup"):
                control(request.label_config, predictor.labels)
        return {"model_version": predictor.version}

    @router.post("/predict")
    def predict(request: Predict) -> dict[str, list[Any]]:
        """Predictions in the order of the tasks."""
        start = perf_counter()
        with _logged(log, "predict"):
            found = fill(model(), request.label_config, request.tasks)
        log(f"predict: {_counted(found)}, {perf_counter() - start:.2f} s")
        return {"results": found.results}

    @router.get("/versions")
    def list_versions() -> dict[str, list[str]]:
        """The model that answers first, then the others."""
        return {"versions": list(dict.fromkeys([model().version, *versions]))}

    @router.post("/webhook")
    def webhook(event: Event) -> Mapping[str, str]:
        """Label Studio waits for the answer with every annotation, a second at most: count, and let go."""
        return _heard(event, events, log)

    return router


def _heard(event: Event, events: Counter[str], log: Log) -> Mapping[str, str]:
    action = event.action if _ACTION.fullmatch(event.action) else "unknown event"
    events[action] += 1
    log(f"webhook: {action} ({events[action]} so far)")
    if action == "START_TRAINING":
        return {"status": "ignored", "message": "This backend does not train. Pull the annotations, then: wb train"}
    return {"status": "ok"}


def _counted(found: Filled) -> str:
    """How many tasks there were, and how many got no prediction."""
    n = len(found.results)
    without = ((found.without_text, "without text"), (found.without_class, "without a known class"))
    return ", ".join(["1 task" if n == 1 else f"{n} tasks", *(f"{count} {why}" for count, why in without if count)])


@contextmanager
def _logged(log: Log, call: str) -> Iterator[None]:
    """Label Studio shows a person only the status of a refusal, so the sentences go into the log too."""
    try:
        yield
    except WorkbenchError as exc:
        log(f"{call}: refused. {shorten(f'{exc.message} {exc.hint}', 400)}")
        raise
