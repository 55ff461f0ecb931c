"""What went wrong with one call, as two sentences: HTTP errors, the SDK's exceptions, answers that are none."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from workbench.errors import ServiceError

_LONGEST = 600
"""Characters of the server's own words that are repeated."""


class Gone(ServiceError):
    """What was asked for (a project, a task) is not there, or not any more."""


class Denied(ServiceError):
    """The token is wrong, expired or may not do this."""


class Refused(ServiceError):
    """The server understood and said no: the request itself is wrong."""


class Unanswered(ServiceError):
    """No answer, or an error inside the server: the request may have been carried out, or still be under way.

    Args:
        message: what happened.
        hint: what to do.
        pending: the server may still be at work on the request.
        reached: False where there was no connection, so that nothing was sent.
    """

    def __init__(self, message: str, hint: str = "", *, pending: bool = True, reached: bool = True) -> None:
        super().__init__(message, hint)
        self.pending, self.reached = pending, reached


@contextmanager
def sentences(url: str, what: str, secrets: Iterable[str] = ()) -> Iterator[None]:
    """Turn what the SDK and httpx raise inside the block into ServiceErrors that hold no secret."""
    import httpx
    from label_studio_sdk.core.api_error import ApiError

    try:
        yield
    except ApiError as exc:
        raise from_status(url, what, exc.status_code or 0, exc.body, secrets) from None
    except httpx.TransportError as exc:
        raise _unreachable(url, exc) from exc
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        say = f"{url} cannot be asked: {_clean(str(exc), secrets)}."
        raise ServiceError(say, "Check review.url.") from None
    except ValueError as exc:  # a body that is not JSON, or not of the expected shape
        raise foreign(url) from exc


def foreign(url: str) -> ServiceError:
    """An answer that no Label Studio gives."""
    say = f"{url} answers, but not as Label Studio does."
    return ServiceError(say, "Check review.url: the address of the server itself, without /projects or /api.")


def _unreachable(url: str, exc: Exception) -> Unanswered:
    import httpx

    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol | httpx.ProxyError):
        say = f"Label Studio at {url} cannot be reached."
        return Unanswered(say, "Start it with `wb review start`, or check review.url.", pending=False, reached=False)
    if isinstance(exc, httpx.TimeoutException):
        say = f"Label Studio at {url} did not answer in time."
        return Unanswered(say, "Look whether it is overloaded, then run this again: nothing is sent twice.")
    say = f"Label Studio at {url} broke off the connection."
    return Unanswered(say, "See whether it still runs, then run this again: nothing is sent twice.")


def from_status(url: str, what: str, status: int, body: Any, secrets: Iterable[str] = ()) -> ServiceError:
    """An HTTP status that is no success, as an error. `what` names the thing that was asked for, as `project 7`."""
    said = _clean(detail(body), secrets)
    quoted = f": {said}" if said else ""
    if status == 401:
        return _denied(url, said)
    if status == 403:
        say = f"Label Studio at {url} does not allow it for {what}{quoted}"
        return Denied(_ended(say), "Use the token of an account that owns the project, or of an administrator.")
    if status == 404:
        say = f"Label Studio at {url} has no {what}."
        return Gone(say, "It was deleted there, or the token's account belongs to another organization.")
    if status >= 500:
        say = _ended(f"Label Studio at {url} failed (HTTP {status}){quoted}")
        return Unanswered(say, "Look into the server's log, then run this again: nothing is sent twice.", pending=False)
    if 300 <= status < 400:
        return ServiceError(f"{url} sends on to another address.", "Set review.url to the address it sends to.")
    return Refused(_ended(f"Label Studio at {url} refused {what} (HTTP {status}){quoted}"), _cure(said))


def _denied(url: str, said: str) -> Denied:
    low = said.lower()
    if "legacy" in low:
        cure = "Enable legacy tokens on its page Organization > Access Token Settings, or use a personal access token."
        return Denied(f"Label Studio at {url} does not take legacy tokens (any more).", cure)
    if "expired" in low or "blacklisted" in low:
        say = f"The token for Label Studio at {url} has expired or was revoked."
    else:
        say = f"Label Studio at {url} does not know the token."
    return Denied(say, "Copy one from its page Account & Settings, and put it into the environment.")


def _cure(said: str) -> str:
    if "incompatible" in said or "you can't remove it" in said:
        return (
            "Keep those controls, or delete those annotations; or pull, delete the project there, and push with --new."
        )
    return "Mend what it names, then run this again."


def detail(body: Any) -> str:
    """What the server says is wrong, of its JSON: field errors if there are any, else `detail`; empty for a page of HTML."""
    if isinstance(body, dict):
        errors = body.get("validation_errors")
        if isinstance(errors, dict) and errors:
            return "; ".join(text for texts in errors.values() for text in _texts(texts))
        return "; ".join(_texts(body.get("detail") or body.get("error") or ""))
    return "" if body is None or "<html" in str(body).lower() else str(body)


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []


def _clean(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    line = " ".join(text.split())
    # A token that is not ours, as in an echoed header.
    line = re.sub(r"\b(?:[0-9a-f]{40}|eyJ[\w-]{8,}(?:\.[\w-]+)*)\b", "***", line)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _ended(text: str) -> str:
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."
