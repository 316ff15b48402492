"""One metered request: replicas tried, the answer relayed. Callbacks only; no task on a warm path."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aicp.gateway import http
from aicp.gateway.answer import Answer
from aicp.gateway.budgets import Purchase
from aicp.gateway.calls import Call
from aicp.gateway.engine_errors import BROKEN, BUSY, engine_error, no_answer, replica_lost
from aicp.gateway.errors import ApiError, engine_failed, internal_error
from aicp.gateway.meter import Meter
from aicp.gateway.prompts import Prompt
from aicp.gateway.queues import Ticket
from aicp.gateway.replicas import Replica
from aicp.gateway.routes import Route
from aicp.gateway.routing import dispatch
from aicp.gateway.site import Site
from aicp.gateway.streams import Stream
from aicp.gateway.tokens import usage_of_body, usage_of_part
from aicp.gateway.upstream import UpstreamConnection
from aicp.gateway.visits import Visit

log = logging.getLogger(__name__)


class Exchange:
    """A request on its way. The connection of the client calls `cancel`, `pause`, `resume` and `check`."""

    __slots__ = (
        "_answer",
        "_call",
        "_connecting",
        "_connection",
        "_failure",
        "_headers",
        "_heard",
        "_losses",
        "_meter",
        "_over",
        "_parts",
        "_paused",
        "_pooled",
        "_prompt",
        "_silent",
        "_site",
        "_size",
        "_stale",
        "_status",
        "_stream",
        "_touched",
        "_visit",
        "_visits",
        "detour",
        "route",
        "ticket",
    )

    def __init__(
        self, site: Site, route: Route, call: Call, meter: Meter, answer: Answer, prompt: Prompt | None = None
    ) -> None:
        self._site, self._call, self._meter, self._answer, self._prompt = site, call, meter, answer, prompt
        self.route = route
        self.detour: Callable[[ApiError], bool] | None = None  # given its error, may take it elsewhere
        self._visits: list[Visit] = []
        self._visit: Visit | None = None
        self._connection: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failure: ApiError | None = None
        self._pooled = self._stale = self._paused = self._over = self._heard = False
        self._silent, self._touched = True, meter.began
        self.ticket: Ticket | None = None  # its place at its route, or its turn to get one; None: there is no limit
        self._status = self._size = self._losses = 0
        self._headers: dict[bytes, bytes] = {}
        self._stream: Stream | None = None
        self._parts: list[bytes] = []

    def start(self) -> None:
        """Sends the request to the best replica that was not tried yet, or gives up."""
        site, tried = self._site, [visit.replica for visit in self._visits]
        self._touched = site.clock.monotonic()
        visit = None
        if len(tried) < site.limits.replicas_tried:
            visit = dispatch(self.route.replicas, self._prompt, tried, self._touched, site.random, site.metrics)
        if visit is None:
            self.fail(self._failure or no_answer(self.route.public))
            return
        if self._meter.trace is not None:
            self._meter.trace.tried(visit.replica.id, self._touched, self._status)
        if tried:
            site.metrics.retries += 1
            self._reset()
        self._visits.append(visit)
        self._visit, self._stale = visit, False
        connection = visit.replica.pool.take()
        if connection is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connected(visit))
        else:
            self._send(visit, connection, pooled=True)

    def turn(self, route: Route, call: Call, prompt: Prompt | None, purchase: Purchase | None) -> None:
        """Begins anew on another route; nothing of it is under way."""
        self._end()
        self._over = False
        self.route, self._call, self._prompt = route, call, prompt
        self._visits, self._losses, self._failure = [], 0, None
        self._reset()
        self._meter.turn(route.service, route.price, purchase)

    def cancel(self, outcome: str = "canceled") -> None:
        """The client has left, or the gateway ends: the engine's work ends at once."""
        if self._over:
            return
        self._drop()
        self._end()
        self._close(outcome, http.CLIENT_LEFT)

    def withdraw(self) -> bool:
        """Takes the request back from its engine, so that it can start anew; False when that has begun to answer."""
        begun = self._answer.sent or self._parts or not self._silent
        if self._visit is None or self._connecting is not None or begun:
            return False
        self._drop()
        self._visits.clear()
        self._reset()
        return True

    def waited(self, seconds: float) -> None:
        """It has stood in a queue for so long."""
        self._meter.waited(seconds)

    def pause(self) -> None:
        """The client takes no more for now."""
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """The client takes more."""
        self._paused = False
        self._heard = True
        if self._connection is not None:
            self._connection.resume()

    def fail(self, error: ApiError) -> None:
        """Tells the client, in the middle of its answer if need be. Before that another way may be left."""
        if self.detour is not None and not self._answer.sent and self.detour(error):
            return
        self._end()
        if not self._answer.sent:
            outcome = "rejected" if error.status < 500 else "unavailable" if error.status == 503 else "engine_error"
            self._close(outcome, error.status)
            self._answer.error(error)
            return
        self._close("engine_error", 200)
        stream = self._call.begun if self._stream is None else self._stream
        if stream is None or self._call.raw:
            self._answer.abort()
        else:
            self._answer.end(stream.break_off(error), http.EVENTS)

    def check(self, now: float) -> None:
        """Gives up on an engine that has been silent for too long. Connecting has a limit of its own."""
        if self._heard:
            self._heard, self._touched = False, now
        visit, seconds = self._visit, self._site.limits.first_byte_seconds
        # without a visit it is over, or waits for its turn, which has a limit of its own
        if visit is None or self._paused or self._connecting is not None or now - self._touched < seconds:
            return
        visit.replica.failed(now)
        self._drop()
        self.fail(ApiError(504, f"The engine said nothing for {seconds:.0f} s.", code="engine_timeout"))

    def answer_at_once(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        """The engine's whole answer came in one piece."""
        kind = headers.get(b"content-type", http.JSON)
        if status != 200 or kind != http.JSON or self._call.whole is not None:
            self.answer_head(status, headers)
            self.answer_data(body)
            self.answer_end()
            return
        if self._over or self._visit is None:
            return
        self._connection = None
        self._visit.replica.succeeded()
        self._release()
        self._meter.count(usage_of_body(body))
        self._finish("ok")
        self._answer.whole(body)

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """The engine begins to answer."""
        self._status, self._headers = status, headers
        if status == 200 and (self._call.raw or headers.get(b"content-type", b"").startswith(b"text/event-stream")):
            self._stream = self._call.stream_of(self._meter.tokens, self._meter.request_id)
            self._answer.kind = headers.get(b"content-type", http.BYTES) if self._call.raw else None

    def answer_data(self, data: bytes) -> None:
        """A piece of the engine's answer."""
        if self._over:
            return
        self._heard = True
        if self._stream is None:
            self._hold(data)
            return
        if self._silent:
            self._silent = False
            if self._call.begun is None:
                self._meter.first_token()
            if self._visit is not None:
                self._visit.first_token(self._site.clock)
        try:
            data = self._stream.feed(data)
        except ApiError as error:
            self._drop()
            self.fail(error)
            return
        if self._stream.complete and not self._meter.closed:  # before the client can know that it has everything
            self._close("engine_error" if self._stream.failed else "ok", 200)
        if data:
            self._answer.piece(data, http.EVENTS)

    def answer_end(self) -> None:
        """The engine has said everything."""
        if self._over:
            return
        self._connection = None
        if self._visit is not None:
            broken = self._status >= 500 and self._error().status >= 500  # some engines answer 500 to a wrong request
            self._visit.judge(self._status, self._site.clock.monotonic(), broken=broken)
        self._release()
        body = b"".join(self._parts)
        if self._stream is not None:
            data = self._stream.finish()
            self._finish("engine_error" if self._stream.failed else "ok")
            self._answer.end(data, http.EVENTS)
        elif self._status != 200:
            self._refused(self._error())
        elif self._answer.sent and self._call.begun is None:
            self._meter.count(usage_of_part(body))
            self._finish("ok")
            self._answer.end(body, http.JSON)
        else:
            self._answer_whole(body)

    def answer_lost(self) -> None:
        """The engine's connection ended in the middle."""
        connection, self._connection = self._connection, None
        if self._over or connection is None or self._visit is None:
            return
        replica, now = self._visit.replica, self._site.clock.monotonic()
        if self._pooled and not connection.answered and now - self._touched < self._site.limits.stale_seconds:
            # an idle connection may end just when it is used: that says nothing as long as its engine takes another one
            self._stale = True
            self._connecting = asyncio.get_running_loop().create_task(self._connected(self._visit))
            return
        self._lost(replica, now)

    def answer_failed(self) -> None:
        """The gateway itself has failed on the answer."""
        self._drop()
        if self._meter.closed:
            self._end()
            self._answer.abort()
        else:
            self.fail(internal_error())

    def _lost(self, replica: Replica, now: float) -> None:
        """The replica has ended with the request, maybe because of it."""
        replica.failed(now)
        self._release()
        self._losses += 1
        self._try_on(replica_lost(twice=self._losses >= self._site.limits.replicas_lost))

    def _error(self) -> ApiError:
        return engine_error(self._status, b"".join(self._parts), self._headers.get(b"retry-after"))

    def _refused(self, error: ApiError) -> None:
        """The engine has answered with an error; another replica may do better."""
        if error.status < 500 and self._status not in BUSY:
            self.fail(error if self._call.begun is None else self._failure or error)  # a rest is not what was asked for
            return
        self._losses += self._status in BROKEN
        self._try_on(error)

    def _try_on(self, error: ApiError) -> None:
        """Tries another replica; `error` is what the client hears when there is none."""
        self._failure = error
        if self._losses >= self._site.limits.replicas_lost or (self._answer.sent and not self._continue()):
            self.fail(error)
        elif not self._over:
            self.start()

    def _continue(self) -> bool:
        """Asks for the rest of a stream that has begun, or ends it where there is none; False when neither can be."""
        if not self._call.go_on(self._stream):
            return False
        if self._call.begun is None:
            self.answer_end()
        else:
            self._silent = True
            self._site.metrics.continuations += 1
            log.info("request %s: another replica is asked for the rest of its answer", self._meter.request_id)
        return True

    async def _connected(self, visit: Visit) -> None:
        replica = visit.replica
        try:
            connection = await replica.pool.connect(self._site.limits.connect_seconds)
        except OSError:
            self._connecting = None
            if self._stale and not self._over:  # its other connection was not idle for too long: the engine has ended
                self._lost(replica, self._site.clock.monotonic())
                return
            replica.failed(self._site.clock.monotonic())
            if not self._over:
                self._release()
                self.start()
            return
        except Exception:
            self._connecting = None
            log.exception("a connection to %s could not be made", replica.pool.address)
            if not self._over:
                self.answer_failed()
            return
        self._connecting = None
        if self._over:
            replica.pool.give(connection)
        else:
            self._send(visit, connection, pooled=False)

    def _send(self, visit: Visit, connection: UpstreamConnection, *, pooled: bool) -> None:
        self._connection, self._pooled = connection, pooled
        connection.send(visit.request(self._call, self._meter.request_id, self._meter.more()), self, self._site.outbox)
        if self._paused:
            connection.pause()

    def _hold(self, data: bytes) -> None:
        """Keeps an answer until it is whole; a long one is passed on, always without its last piece."""
        self._parts.append(data)
        self._size += len(data)
        if self._status == 200 and self._call.whole is None and self._size > self._site.limits.whole_bytes:
            held, self._parts = b"".join(self._parts[:-1]), [data]
            if not self._answer.sent:
                self._meter.count(usage_of_part(held[:4096]))
            self._answer.piece(held, http.JSON)
        elif self._size > self._site.limits.held_bytes:
            self._drop()
            self.fail(engine_failed("The engine's answer is too large."))

    def _answer_whole(self, body: bytes) -> None:
        self._meter.count(usage_of_body(body))
        kind = self._headers.get(b"content-type", http.JSON) if self._call.whole is None else self._call.answers
        if self._call.whole is not None:
            try:
                body = self._call.whole(body, self._meter.request_id)
            except ApiError as error:
                self.fail(error)
                return
        self._finish("ok")
        self._answer.whole(body, kind)

    def _finish(self, outcome: str) -> None:
        self._end()
        self._close(outcome, 200)

    def _end(self) -> None:
        """Nothing comes after this: its place is free, and whose turn it is begins at once."""
        self._over = True
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            ticket.leave(self._meter.tokens)

    def _close(self, outcome: str, status: int) -> None:
        visit = self._visits[-1] if self._visits else None
        if visit is not None and outcome == "ok" and self._call.begun is None:
            visit.learn(self._meter.tokens, self._site.clock)
        self._meter.close(outcome, status, None if visit is None else visit.replica.id)

    def _drop(self) -> None:
        """Ends the connection to the engine in the middle of its answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        if self._visit is not None:
            self._visit.replica.left_open()
        self._release()

    def _release(self) -> None:
        visit, self._visit = self._visit, None
        if visit is not None:
            visit.end()

    def _reset(self) -> None:
        """Nothing of an answer has come."""
        self._status, self._size, self._silent = 0, 0, True
        self._headers, self._parts, self._stream = {}, [], None
