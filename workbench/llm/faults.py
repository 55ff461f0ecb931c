"""What went wrong with one call: the SDK's exceptions as sentences, and whether it helps to try again."""

import email.utils
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from workbench.errors import ServiceError, WorkbenchError
from workbench.llm.contract import Refused, Unusable

Kind = Literal["limited", "passing", "lost", "fatal", "refused"]
LONGEST = 120.0
"""Seconds of Retry-After that are worth waiting for; a server that names more is out of use for this run."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# No money left, said as 429: OpenAI's name, and Zhipu's number.
_NO_MONEY = ("insufficient_quota", "1113")


class Fault(Exception):
    """A call without an answer.

    `limited` (429) and `passing` (5xx, never arrived) cost nothing and are tried again; `lost` (no answer in time, broken
    off, unreadable) may have been billed and is tried again; `fatal` ends the endpoint's use, `refused` only this request.
    """

    def __init__(self, kind: Kind, error: WorkbenchError, *, status: int = 0, wait: float | None = None) -> None:
        super().__init__(error.message)
        self.kind, self.error, self.status, self.wait = kind, error, status, wait
        self.timeout = False

    @property
    def again(self) -> bool:
        """Whether another try may help."""
        return self.kind in ("limited", "passing", "lost")

    def pause(self, tries: int) -> float:
        """Seconds until the next try: what the server says, else doubled each time; jittered, so that not all come at once."""
        if self.wait:
            return self.wait * random.uniform(1.0, 1.1)
        return min(FIRST_PAUSE * 2.0 ** min(tries, 10), LONGEST_PAUSE) * random.uniform(0.75, 1.25)


def no_completion(where: str) -> Fault:
    """A body that is not a chat completion: it was sent, so it may have been billed."""
    say = f"{where} answered, but not with a chat completion."
    return Fault("lost", ServiceError(say, "Check that it serves /chat/completions."))


def fault_of(exc: Exception, where: str, secrets: Sequence[str] = ()) -> Fault:
    """An exception of the SDK as a fault whose sentences hold no secret."""
    import openai

    if isinstance(exc, openai.APITimeoutError | openai.APIConnectionError):
        return _unreachable(exc, where)
    said = " ".join(str(exc).split())
    for secret in secrets:
        said = said.replace(secret, "***") if secret else said
    said = said[:200]  # after the secrets: half a key would not be found
    if not isinstance(exc, openai.APIStatusError):
        return Fault("lost", ServiceError(f"{where} answered with an error: {said}", "Run again: replies are kept."))
    status, wait = exc.status_code, retry_after(exc.response.headers, time.time())
    if status in (401, 403):
        return _fatal(
            f"{where} refused the key.", "Check the key in the environment (key_env; OPENAI_API_KEY).", status
        )
    if status == 404:
        return _fatal(f"{where} does not know that address or model: {said}", "Check base_url and model.", status)
    if status == 402 or (status == 429 and str(exc.code) in _NO_MONEY):
        return _fatal(f"{where} says that there is no money left: {said}", "Recharge the account.", status)
    if status == 429:
        return _limited(where, wait)
    if status >= 500 or status in (408, 409):
        error = ServiceError(f"{where} answered with an error: {said}", "Run again: stored replies are kept.")
        return Fault("passing", error, status=status, wait=wait if wait is None else min(wait, LONGEST))
    cure = "Check llm.max_tokens, the model's name and its content filter."
    return Fault("refused", Refused(f"{where} refused a request: {said}", cure), status=status)


def _fatal(say: str, cure: str, status: int) -> Fault:
    return Fault("fatal", Unusable(say, cure), status=status)


def _limited(where: str, wait: float | None) -> Fault:
    if wait is not None and wait > LONGEST:
        say = f"{where} answers 429 and asks to wait {wait:.0f} seconds."
        return _fatal(say, "Run again then: stored replies are kept.", 429)
    error = ServiceError(f"{where} keeps answering 429 (too many requests).", "Lower llm.concurrency, or wait.")
    return Fault("limited", error, status=429, wait=wait)


def _unreachable(exc: Exception, where: str) -> Fault:
    import openai

    # What never got a connection was not billed.
    unsent = type(exc.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout")
    kind: Kind = "passing" if unsent else "lost"
    if isinstance(exc, openai.APITimeoutError):
        cure = "Raise llm.endpoints.0.timeout, or lower llm.concurrency."
        fault = Fault(kind, ServiceError(f"{where} did not answer in time.", cure))
        fault.timeout = True
        return fault
    cure = "Check the address (OPENAI_BASE_URL) and that the server runs."
    return Fault(kind, ServiceError(f"{where} cannot be reached.", cure))


def retry_after(headers: Mapping[str, Any], now: float) -> float | None:
    """Seconds that a server asks to wait; `retry-after-ms`, else `Retry-After` in seconds or as an HTTP date.

    Args:
        headers: of the answer; looked up in lower case.
        now: seconds since 1970, for dates.

    Returns:
        None where it does not say, or not in a way that can be read.
    """
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = str(headers.get(name) or "").strip()
        try:
            seconds = float(text) / divisor
        except ValueError:
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        moment = email.utils.parsedate_to_datetime(str(headers.get("retry-after") or ""))
        return max(0.0, moment.timestamp() - now)
    except (TypeError, ValueError, OverflowError, OSError, IndexError):
        return None
