"""Files and batches: the key is checked here, the work is the control plane's; bodies and answers pass through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from aicp.core.errors import AicpError
from aicp.gateway.answer import Answer
from aicp.gateway.api_keys import Key
from aicp.gateway.config import Limits
from aicp.gateway.errors import ApiError, internal_error, unavailable
from aicp.gateway.requests import Request

log = logging.getLogger(__name__)

_WHOLE_BYTES = 1 << 20
"""A shorter answer is held and sent whole, with its length."""


class PassedAnswer(Protocol):
    """An answer of the control plane. Names of `headers` are in lower case."""

    @property
    def status(self) -> int:
        """Its HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """Its body."""
        ...


class Passing(Protocol):
    """The control plane as the relay sees it."""

    def relay(
        self, method: str, path: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None
    ) -> AbstractAsyncContextManager[PassedAnswer]:
        """Passes a request on. Raises AicpError when control does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class Relay:
    """The way to the control plane."""

    control: Passing
    limits: Limits


def refuse_unread(request: Request, answer: Answer, error: ApiError) -> None:
    """Answers with an error, maybe while the body still comes: a client that is cut off in it would never see it."""
    if request.inflow is not None and not request.inflow.ended:
        answer.leave_body()
        request.inflow.leave()
    answer.error(error)


def relay(way: Relay | None, request: Request, key: Key, answer: Answer) -> Relaying | None:
    """Passes a request on in its key's name; None when it is answered already."""
    if way is None:
        message = "This gateway stands alone; files and batches are served where the whole platform runs."
        refuse_unread(request, answer, ApiError(404, message, code="not_supported"))
        return None
    return Relaying(way, request, key, answer)


class Relaying:
    """One request on its way. The connection of the client calls `cancel`, `pause`, `resume` and `check`."""

    def __init__(self, way: Relay, request: Request, key: Key, answer: Answer) -> None:
        self._way, self._request, self._key, self._answer = way, request, key, answer
        self._touched: float | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self, outcome: str = "canceled") -> None:
        """The client has left, or the gateway ends."""
        self._task.cancel()

    def pause(self) -> None:
        """The client takes no more for now."""
        self._flowing.clear()

    def resume(self) -> None:
        """The client takes more."""
        self._flowing.set()

    def check(self, now: float) -> None:
        """Once a second: a client or control plane that is silent for too long is left."""
        if self._touched is None:
            self._touched = now
        elif now - self._touched > self._way.limits.stalled_reader_seconds:
            self._task.cancel()
            self._answer.abort()

    async def _run(self) -> None:
        try:
            await self._pass()
        except AicpError as error:
            log.warning("%s could not be passed on: %s", self._request.path.decode("ascii", "replace"), error)
            self._fail(
                unavailable(
                    "Files and batches cannot be served now: the platform's control plane does not answer. "
                    "Models are served all the same; try again in a moment.",
                    retry_after=2,
                )
            )
        except Exception:
            log.exception("request %s could not be passed on", self._request.id)
            self._fail(internal_error())

    async def _pass(self) -> None:
        request = self._request
        path = b"/internal" + request.path
        headers = {"x-aicp-project": self._key.project, "x-aicp-key": self._key.id, "x-request-id": request.id[-64:]}
        kind = request.headers.get(b"content-type")
        if kind is not None:
            headers["content-type"] = kind.decode("latin-1")
        body = None if request.inflow is None else self._body(request.inflow.pieces())
        method = request.method.decode("ascii")
        async with self._way.control.relay(method, path.decode("latin-1"), headers, body) as passed:
            self._leave_body()
            if passed.status >= 400:
                self._answer.error(_refusal(passed, await _whole(passed.pieces())))
            else:
                await self._pass_back(passed)

    async def _body(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            self._touched = None
            yield piece

    async def _pass_back(self, passed: PassedAnswer) -> None:
        kind = passed.headers.get("content-type", "application/json").encode("latin-1")
        length = passed.headers.get("content-length", "")
        if length.isdecimal() and int(length) <= _WHOLE_BYTES:
            self._answer.relayed(passed.status, kind, await _whole(passed.pieces()))
            return
        async for piece in passed.pieces():
            await self._flowing.wait()
            self._touched = None
            self._answer.piece(piece, kind)
        self._answer.end(b"", kind)

    def _leave_body(self) -> None:
        """Control has answered: what of the body has not come is not needed."""
        inflow = self._request.inflow
        if inflow is not None and not inflow.ended:
            self._answer.leave_body()
            inflow.leave()

    def _fail(self, error: ApiError) -> None:
        if self._answer.sent:
            self._answer.abort()
        else:
            self._leave_body()
            self._answer.error(error)


async def _whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def _refusal(passed: PassedAnswer, body: bytes) -> ApiError:
    """Control's refusal in the words and the form that callers of the gateway know."""
    try:
        error = msgspec.json.decode(body)["error"]
        message = " ".join(part for part in (error["message"], error.get("hint")) if part)
        code = error.get("code")
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        message, code = f"The control plane answered {passed.status}.", None
    wait = passed.headers.get("retry-after", "")
    status = 503 if passed.status == 401 else 400 if passed.status == 422 else passed.status
    return ApiError(status, message, code=code, retry_after=int(wait) if wait.isdecimal() else None)
