"""One request at one replica: what it occupies there, and what it tells of the replica's speed."""

from __future__ import annotations

from typing import Final

from aicp.core.clock import Clock
from aicp.gateway.calls import Call
from aicp.gateway.engine_errors import BUSY
from aicp.gateway.prompts import Prompt
from aicp.gateway.replicas import STEP_ANSWERS, Charge, Replica
from aicp.gateway.tokens import Tokens

REQUEST_TOKENS: Final = 64
"""What a request costs besides its tokens, in tokens."""


class Visit:
    """Begins with its making, when the request is about to be sent; `end` must be called once it is over."""

    __slots__ = (
        "_began",
        "_charge",
        "_decode",
        "_first",
        "_name",
        "_prefill",
        "_prompt",
        "_running",
        "_work",
        "replica",
    )

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self._prompt: Prompt | None = None
        self._charge: Charge | None = None
        self._first: float | None = None
        self._name = ""
        replica.began()

    def expect(self, prompt: Prompt, uncached: float, now: float) -> None:
        """Charges the replica with `uncached` prompt tokens. `now` is monotonic.

        A stream's charge ends with its first token. Of an answer that comes whole nothing is heard before its end, so
        its charge ends when its prompt should have been read.
        """
        replica = self.replica
        charged = uncached + REQUEST_TOKENS
        self._prompt, self._began = prompt, now
        self._prefill, self._decode = replica.prefill_seconds, replica.decode_seconds
        self._running = replica.inflight
        self._work = replica.waiting(now) + charged
        self._charge = Charge(replica, charged, now + self._work * self._prefill)
        if prompt.whole:
            replica.silent.append(self._charge)
        if prompt.blocks:
            replica.held.add(prompt.blocks, prompt.per_byte)
        if prompt.session:
            replica.held.add(prompt.session, prompt.per_byte)

    def request(self, call: Call, name: str, more: bytes = b"") -> bytes:
        """As it goes over the wire, with `more` lines in its head.

        An engine that tells of its cache calls the request by the same name there.
        """
        cache, prompt, shown = self.replica.cache, self._prompt, name.encode()
        if cache is not None and prompt is not None and prompt.blocks:
            self._name = name
            cache.sent(name, prompt.blocks, prompt.size)
            shown = b"%b\r\nx-session-id: %b" % (shown, shown)
        return self.replica.pool.request(call.path, shown, call.body, call.kind, more)

    def first_token(self, clock: Clock) -> None:
        """The first piece of a streamed answer has come."""
        if self._charge is not None:
            self._first = now = clock.monotonic()
            self._charge.drop(now)
            self.replica.prefill.learn(self._work, now - self._began, now)

    def judge(self, status: int, now: float, *, broken: bool) -> None:
        """What a complete answer says of the replica."""
        if status in BUSY:
            self.replica.left_open()  # busy is not broken
        elif broken:
            self.replica.failed(now)
        else:
            self.replica.succeeded()

    def end(self) -> None:
        """The replica has no more to do for it. To be called once."""
        self.replica.inflight -= 1
        if self._charge is not None:
            self._charge.drop()

    def learn(self, tokens: Tokens, clock: Clock) -> None:
        """The answer is complete and these are its counts."""
        prompt, replica = self._prompt, self.replica
        if prompt is None:
            return
        if self._name and replica.cache is not None and tokens.prompt:
            replica.cache.counted(self._name, tokens.prompt)
        now = clock.monotonic()
        prompt.traffic.learn(prompt.size, tokens.prompt, tokens.completion)
        steps = (tokens.completion or 0) * (STEP_ANSWERS + (self._running + replica.inflight) / 2)
        if self._first is not None:
            replica.decode.learn(steps, now - self._first, now)
            return
        # only the sum of both parts is known: it is shared between them as it was expected
        reading, writing = self._work * self._prefill, steps * self._decode
        share = reading / (reading + writing)
        replica.prefill.learn(self._work, (now - self._began) * share, now)
        replica.decode.learn(steps, (now - self._began) * (1 - share), now)
