"""`wb serve`: the routes of a served model, and a page to try it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import DataError
from workbench.predictor import Predictor
from workbench.serve.backend import label_studio_routes
from workbench.serve.batching import Batcher
from workbench.serve.chat import chat_routes
from workbench.serve.config import ServeConfig
from workbench.serve.http import new_app
from workbench.serve.pages import docs_page, try_page
from workbench.serve.ranked import ranked
from workbench.serve.said import Answer, Ask, Near
from workbench.serve.served import Slot

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

LABEL_STUDIO = "/label-studio"
"""Where the routes for Label Studio are: its backend URL is the server's with this behind it."""


def serving_app(
    slot: Slot,
    config: ServeConfig | None = None,
    *,
    hosts: Sequence[str] = (),
    versions: Sequence[str] = (),
    log: Callable[[str], None] = lambda _: None,
) -> "FastAPI":
    """The app of `wb serve`.

    Args:
        slot: the model that answers; whoever holds it may exchange the model while the app runs.
        config: limits, and where the key is.
        hosts: names that requests may call this machine by; any where empty.
        versions: names of all models that could be served, for Label Studio.
        log: gets a line for what Label Studio asks; never texts, never secrets.

    Raises:
        MissingExtra: FastAPI is not installed.
        ConfigError: the variable of the key is set, but empty.
    """
    config = config or ServeConfig()
    app = new_app("wb serve", config, hosts=hosts)
    batcher = Batcher(max_batch=config.max_batch, max_wait=config.max_wait_ms / 1000, max_queue=config.max_queue)
    app.include_router(_model_routes(slot, batcher, config))
    app.include_router(chat_routes(slot, batcher, config))
    app.include_router(label_studio_routes(lambda: slot.now.predictor, versions=versions, log=log), prefix=LABEL_STUDIO)
    _pages(app)
    return app


def _model_routes(slot: Slot, batcher: Batcher, config: ServeConfig) -> "APIRouter":
    from fastapi import APIRouter
    from fastapi.responses import JSONResponse

    router = APIRouter(tags=["Model"])

    @router.post("/predict", response_model=Answer)
    async def predict(request: Ask) -> JSONResponse:
        """Classify one text (`text`) or several (`texts`); a text without characters among several gets null and a reason."""
        texts = _texts(request, config)
        predictor = slot.now.predictor
        rows = await batcher.ask(predictor, [text for text in texts if text.strip()])
        found = iter(rows)
        k = request.top or config.top
        said = [_one(predictor, next(found), k) if text.strip() else _NOTHING for text in texts]
        return JSONResponse({"predictions": said, "model_version": predictor.version})

    @router.post("/nearest")
    async def nearest(request: Near) -> dict[str, Any]:
        """Training rows most like a text; an empty list where the server has none to show."""
        _check(request.text, "text", config)
        examples = slot.now.examples
        k = min(request.k or config.examples, config.examples)
        found = await batcher.run(examples.nearest, request.text, k) if examples and k else []
        return {"examples": found}

    @router.get("/labels")
    async def labels() -> dict[str, Any]:
        """The classes of the model."""
        predictor = slot.now.predictor
        return {"labels": list(predictor.labels), "model_version": predictor.version}

    @router.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the server lives, which model answers, and how many texts wait; needs no key."""
        return {"status": "UP", "model_version": slot.now.predictor.version, "waiting": batcher.waiting}

    return router


_NOTHING: Mapping[str, Any] = {"label": None, "probability": None, "top": [], "reason": "empty_text"}


def _one(predictor: Predictor, row: Any, k: int) -> dict[str, Any]:
    top = ranked(predictor.labels, row, k)
    return {"label": top[0][0], "probability": top[0][1], "top": top}


def _texts(request: Ask, config: ServeConfig) -> list[str]:
    """The texts of a request.

    Raises:
        DataError: it names both or neither, too many, a text that is too long, or one text without characters.
    """
    if (request.text is None) == (request.texts is None):
        both = "both `text` and `texts`" if request.text is not None else "neither `text` nor `texts`"
        raise DataError(f"The request has {both}.", 'Send {"text": "..."} for one text, {"texts": [...]} for several.')
    if request.text is not None:
        if not request.text.strip():
            raise DataError("text: it has no characters.", "Send a text to classify.")
        _check(request.text, "text", config)
        return [request.text]
    texts = request.texts or []
    if len(texts) > config.max_texts:
        raise DataError(
            f"texts: there are {len(texts)} of them; at most {config.max_texts} are taken at a time.",
            "Send them in several requests, or raise serve.max_texts.",
        )
    for i, text in enumerate(texts):
        _check(text, f"texts.{i}", config)
    return texts


def _check(text: str, where: str, config: ServeConfig) -> None:
    if len(text) > config.max_chars:
        raise DataError(
            f"{where}: it has {len(text)} characters; at most {config.max_chars} are taken.",
            "Send a shorter text, or raise serve.max_chars.",
        )


def _pages(app: "FastAPI") -> None:
    from fastapi.responses import HTMLResponse

    page, policy = try_page()
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

    @app.get("/", include_in_schema=False)
    async def home() -> HTMLResponse:
        """The page to try the model."""
        return HTMLResponse(page, headers=headers)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """The routes with what they take and give."""
        return HTMLResponse(docs_page(app.openapi()), headers={"X-Content-Type-Options": "nosniff"})
