"""A mirror of one kind of object: listed once, then kept fresh by a watch that goes on where it broke off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
from kubernetes.aio import watch

from aicp.core.errors import UnavailableError
from aicp.runners.kubernetes.calls import ApiException, explain, is_absent, is_gone

log = logging.getLogger(__name__)
_WATCH_SECONDS = 60
_PROOF_SECONDS = 5
"""A watch after a failure is to end this soon: only then it has shown that it works."""
_SILENCE_SECONDS = 30.0
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_ABSENT_SECONDS = 60.0


class Lists(Protocol):
    """A list method of the client, without its fixed arguments."""

    def __call__(self, *args: Any, **more: Any) -> Awaitable[Any]: ...


class Mirror:
    """The objects of one kind by uid, as JSON. `optional`: a cluster need not know the kind.

    `changed` is called after every change.
    """

    def __init__(
        self,
        kind: str,
        lists: Lists,
        arguments: Mapping[str, Any],
        positional: tuple[str, ...],
        to_json: Callable[[Any], dict[str, Any]],
        *,
        changed: Callable[[], None] = lambda: None,
        optional: bool = False,
    ) -> None:
        self.kind = kind
        self._lists = lists
        self._arguments = dict(arguments)
        self._positional = positional
        self._to_json = to_json
        self._changed = changed
        self._optional = optional
        self._objects: dict[str, dict[str, Any]] = {}
        self._version = ""
        self._task: asyncio.Task[None] | None = None
        self._listed = asyncio.Event()
        self._problem: Exception | None = None
        self._failures = 0
        self._fresh_at = 0.0

    async def objects(self) -> list[dict[str, Any]]:
        """All of them. Raises UnavailableError while the API server has been silent for too long, or refuses."""
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"watch {self.kind}")
        waiting = asyncio.create_task(self._listed.wait())
        try:
            await asyncio.wait_for(waiting, 20.0)
        except TimeoutError:
            raise UnavailableError(f"The API server does not list {self.kind}.") from None
        if self._problem is not None and loop.time() - self._fresh_at > _SILENCE_SECONDS:
            raise self._explained(self._problem)
        return list(self._objects.values())

    def put(self, found: Mapping[str, Any]) -> None:
        """An object as an answer showed it, so that the next look finds it before the watch tells of it."""
        self._objects[found["metadata"]["uid"]] = dict(found)

    async def close(self) -> None:
        """Ends the watch."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                if not self._version:
                    await self._list()
                    self._heard()  # a list says nothing of watches: failures of theirs go on being counted
                await self._follow()
                self._heard()
                self._failures = 0
                await asyncio.sleep(_PAUSES[0])
            except Exception as error:
                if is_gone(error):
                    self._version = ""  # too long ago: everything is read anew
                    continue
                await asyncio.sleep(self._failed(error))

    def _heard(self) -> None:
        """The API server has answered, so what is kept here is fresh."""
        self._problem = None
        self._fresh_at = asyncio.get_running_loop().time()
        self._listed.set()

    def _failed(self, error: Exception) -> float:
        """For how long to wait after a failure."""
        if self._optional and is_absent(error):
            self._objects.clear()
            self._version = ""  # should the kind be known again, what there is of it is listed
            self._heard()
            self._changed()
            return _ABSENT_SECONDS
        if not isinstance(error, ApiException | aiohttp.ClientError | OSError | TimeoutError):
            log.exception("the watch of %s failed", self.kind)
        if self._problem is None:
            log.warning("the API server does not tell of %s: %s", self.kind, self._explained(error))
            if self._fresh_at:  # until now a watch was open, which would have told of changes
                self._fresh_at = asyncio.get_running_loop().time()
        self._problem = error
        self._listed.set()
        pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1
        if self._failures > 1:  # a watch that broke off is gone on with once; then only a list shows what holds
            self._version = ""
        return pause

    async def _list(self) -> None:
        answer = await self._lists(*self._positional, **self._arguments, _request_timeout=20.0)
        found = self._to_json(answer)
        self._objects = {item["metadata"]["uid"]: item for item in found.get("items") or []}
        self._version = (found.get("metadata") or {}).get("resourceVersion") or "0"
        self._changed()

    async def _follow(self) -> None:
        """Until the server ends the watch, as it does every few minutes."""
        watching = watch.Watch(return_type="object")  # plain JSON: no model is made of every event
        stream = watching.stream(
            self._lists,
            *self._positional,
            **self._arguments,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=_WATCH_SECONDS if self._problem is None else _PROOF_SECONDS,
            _request_timeout=float(_WATCH_SECONDS + 15),
        )
        try:
            async for event in stream:
                if not isinstance(event, str):
                    self._take(event)
                elif event.strip():  # the words of a proxy, or of a server that does not know the kind
                    raise aiohttp.ClientError(event.strip()[:200])
        finally:
            await watching.close()

    def _take(self, event: Mapping[str, Any]) -> None:
        found: dict[str, Any] = event["raw_object"]
        self._version = found["metadata"]["resourceVersion"]
        self._failures = 0
        self._heard()
        uid = found["metadata"].get("uid")
        if event["type"] == "BOOKMARK" or uid is None:
            return
        if event["type"] == "DELETED":
            self._objects.pop(uid, None)
        else:
            self._objects[uid] = found
        self._changed()

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, ApiException):
            return explain(error, f"watch {self.kind}")
        return UnavailableError(f"The API server does not tell of {self.kind}: {error or type(error).__name__}.")
