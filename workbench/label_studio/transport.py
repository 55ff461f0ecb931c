"""One connection to one server: the SDK's client, and raw JSON over the same authorised transport for what is hot.

The SDK encodes a large import twice and validates every task of a listing, and it sends a request again after a server
error, which would double tasks; so imports and listings do not go through its methods.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from workbench.errors import DataError, ServiceError, need
from workbench.label_studio.faults import foreign, from_status, sentences

TIMEOUT = 60.0
"""Seconds for an ordinary call."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Transport:
    """Sends requests with the token (a legacy one, or a personal access token that is refreshed), and reads JSON."""

    def __init__(self, url: str, token: str) -> None:
        package = need("label_studio_sdk", extra="review", feature="wb review")
        import httpx

        self.url = address(url)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            say = "The token for Label Studio is empty or has characters that no token has."
            raise ServiceError(say, "Copy it again from its page Account & Settings, and put it into the environment.")
        self._token = token
        # A proxy of the environment cannot know a server of this machine.
        local = urlsplit(self.url).hostname in _LOOPBACK
        self._http = httpx.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=not local)
        try:
            with self.guarded("this address"):
                # The slash keeps the path of an address like https://host/label-studio when the SDK refreshes the token.
                self.sdk: Any = package.LabelStudio(
                    base_url=f"{self.url}/", api_key=token, httpx_client=self._http, max_retries=0, timeout=TIMEOUT
                )
        except ServiceError:
            self._http.close()
            raise
        self._wrapper = self.sdk._client_wrapper

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Errors of the SDK inside the block become ServiceErrors; `what` names the thing asked for, as `project 7`."""
        with sentences(self.url, what, (self._token,)):
            yield

    def call(
        self,
        method: str,
        path: str,
        *,
        what: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout: float = TIMEOUT,
    ) -> Any:
        """One request, never repeated after it may have been carried out; the JSON of its answer, None where it has none.

        Args:
            method: of HTTP.
            path: behind the server's address.
            what: names the thing asked for in errors, as `project 7`.
            params: of the address.
            body: sent as JSON; bytes as they are.
            timeout: seconds without a byte.

        Raises:
            ServiceError: of the kind (`faults`) that says whether the server is away, refuses, or does not have it.
        """
        content = body if body is None or isinstance(body, bytes) else encode(body)
        response = self._send(method, path, what, params, content, timeout)
        if response.status_code == 401 and self._stale():
            response = self._send(method, path, what, params, content, timeout)
        if response.status_code == 204:
            return None
        try:
            value = response.json()
        except ValueError:
            value = response.text
            if response.is_success:
                raise foreign(self.url) from None
        if not response.is_success:
            raise from_status(self.url, what, response.status_code, value, (self._token,))
        return value

    def _send(
        self,
        method: str,
        path: str,
        what: str,
        params: Mapping[str, Any] | None,
        content: bytes | None,
        timeout: float,
    ) -> Any:
        with self.guarded(what):
            headers = dict(self._wrapper.get_headers())  # refreshes a personal access token
            if content is not None:
                headers["Content-Type"] = "application/json"
            return self._http.request(
                method,
                f"{self.url}/{path.lstrip('/')}",
                params=params,
                content=content,
                headers=headers,
                timeout=timeout,
            )

    def _stale(self) -> bool:
        """Whether the access token was got by refreshing, and may have run out on the way: then a new one is got."""
        tokens = self._wrapper._tokens_client
        if tokens._use_legacy_token or not tokens._access_token:
            return False
        tokens._access_token = None
        return True


def address(url: str) -> str:
    """The address without what does not belong there: a trailing slash, a query, a fragment.

    Raises:
        ServiceError: it is none, or holds a password.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
        _ = parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host:
        say = f"{url!r} is not the address of a server." if "@" not in url else "review.url is not an address."
        raise ServiceError(say, "Write it as http://127.0.0.1:8080 or https://labels.example.org.")
    if parts.username is not None or parts.password is not None:
        say = "review.url holds a user name or password."
        raise ServiceError(say, "Write the address alone; the token comes from the environment.")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def encode(value: Any) -> bytes:
    """JSON in UTF-8.

    Raises:
        DataError: it holds a number that JSON does not have.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as exc:
        say = "A task holds a number that is not finite, or text that is not Unicode; neither can be sent."
        raise DataError(say, "Replace it (NaN, Infinity, half of an emoji) in the data.") from exc
