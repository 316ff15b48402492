"""How the client talks to the REST interface: JSON in and out, errors as the platform's own classes."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter

from aicp.core import errors
from aicp.core.errors import AicpError, UnavailableError
from aicp.core.value import Page

T = TypeVar("T")
_PAGE_ROWS = 500

_BY_STATUS: dict[int, type[AicpError]] = {
    kind.status: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, AicpError) and kind is not AicpError
}
Query = Mapping[str, Any]
"""Parameters by name; None is not sent, a datetime as ISO 8601."""
_DOWN_HINT = "Start it with `aicp up`, or name another one with --url."
_PLAIN_HINT = "If the platform uses TLS, its address begins with https://."
_TLS_HINT = "Name the platform's certificate, or the authority that signed it, with --ca."


def error_of(status: int, body: bytes) -> AicpError:
    """The error that an answer with `status` and `body` stands for."""
    try:
        fields = json.loads(body)["error"]
        message, hint = fields["message"], fields.get("hint")
        code, details = fields.get("code"), fields.get("details")
    except (ValueError, KeyError, TypeError):
        message, hint, code, details = f"The platform answered {status}.", None, None, None
    kind = _BY_STATUS.get(status, AicpError)
    error = kind(message, hint=hint, code=code, details=details if isinstance(details, dict) else None)
    error.status = status
    return error


def unreachable(url: str, error: httpx.HTTPError) -> UnavailableError:
    """What `error` means to whoever called `url`, and what to do."""
    hint = _DOWN_HINT
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        hint = _TLS_HINT
    elif isinstance(error, httpx.RemoteProtocolError) and url.startswith("http:"):
        hint = _PLAIN_HINT
    return UnavailableError(f"The platform at {url} does not answer ({str(error) or type(error).__name__}).", hint=hint)


class Transport:
    """A connection to one platform. `token` is a session token; every method raises AicpError.

    `tls` says whom to believe at an https address; by default the system's authorities. `renew` gives the token of
    now when the platform no longer takes the present one (the one of this machine's admin changes at every start).
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        renew: Callable[[], str | None] | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.tls = tls
        self._renew = renew
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # trust_env off: a proxy of the shell must not see the platform's tokens
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=timeout_seconds,
            trust_env=False,
            verify=True if tls is None else tls,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        body: BaseModel | Mapping[str, Any] | None = None,
        content: bytes | None = None,
        query: Query | None = None,
    ) -> httpx.Response:
        """One request; raises on every answer that is not 2xx."""
        # Only what was given: a change leaves the rest alone, and the platform tells what it chose from what was asked.
        payload = body.model_dump(mode="json", exclude_unset=True) if isinstance(body, BaseModel) else body
        try:
            response = self._http.request(method, path, json=payload, content=content, params=_sent(query))
            if response.status_code == 401 and self._renewed():
                response = self._http.request(method, path, json=payload, content=content, params=_sent(query))
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error
        if not response.is_success:
            raise error_of(response.status_code, response.content)
        return response

    def get(self, path: str, shape: type[T] | Any, query: Query | None = None) -> T:
        """GET `path` as a value of `shape`."""
        return self._decode(self.send("GET", path, query=query), shape)

    def every(self, path: str, kind: type[T], query: Query | None = None) -> list[T]:
        """All rows of the list at `path`, as many pages as it has."""
        rows: list[T] = []
        while True:
            paged = {**(query or {}), "limit": _PAGE_ROWS, "offset": len(rows)}
            page = self.get(path, Page[kind], paged)
            rows += page.items
            if not page.items or len(rows) >= page.total:
                return rows

    def post(self, path: str, shape: type[T] | Any, body: BaseModel | Mapping[str, Any] | None = None) -> T:
        """POST `body`, answered with a value of `shape`."""
        return self._decode(self.send("POST", path, body=body), shape)

    def patch(self, path: str, shape: type[T] | Any, body: BaseModel | Mapping[str, Any]) -> T:
        """PATCH with `body`, answered with a value of `shape`."""
        return self._decode(self.send("PATCH", path, body=body), shape)

    def delete(self, path: str, query: Query | None = None) -> None:
        """DELETE `path`."""
        self.send("DELETE", path, query=query)

    def lines(self, path: str, query: Query | None = None) -> Iterator[str]:
        """The lines of a text stream, as they come."""
        with self._stream(path, query) as response:
            yield from response.iter_lines()

    def events(self, path: str, query: Query | None = None) -> Iterator[Any]:
        """The decoded data of server-sent events, as they come."""
        for line in self.lines(path, query):
            if line.startswith("data:"):
                yield json.loads(line[5:])

    @contextmanager
    def _stream(self, path: str, query: Query | None) -> Iterator[httpx.Response]:
        waiting = httpx.Timeout(30, read=None)
        try:
            with self._http.stream("GET", path, params=_sent(query), timeout=waiting) as response:
                if response.status_code != 401 or not self._renewed():
                    yield _streamed(response)
                    return
            with self._http.stream("GET", path, params=_sent(query), timeout=waiting) as response:
                yield _streamed(response)
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error

    def _renewed(self) -> bool:
        fresh = self._renew() if self._renew else None
        if fresh is None or fresh == self.token:
            return False
        self.token = fresh
        self._http.headers["Authorization"] = f"Bearer {fresh}"
        return True

    def _decode(self, response: httpx.Response, shape: Any) -> Any:
        return None if shape is None else TypeAdapter(shape).validate_json(response.content)


def _sent(query: Query | None) -> dict[str, Any]:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}


def _streamed(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise error_of(response.status_code, response.read())
    return response
