"""The replicas behind a route: how busy, how healthy, how fast, and what they hold."""

from __future__ import annotations

from collections import deque
from typing import Final

from aicp.core.route import Target
from aicp.gateway.engine_caches import EngineCache
from aicp.gateway.prefixes import Held
from aicp.gateway.speeds import FIRST_PREFILL_SECONDS, Pace
from aicp.gateway.upstream import UpstreamPool
from aicp.security.tls_identity import TlsIdentity

_FAILURES_TO_OPEN: Final = 3
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 10.0
STEP_ANSWERS: Final = 64
"""A step of an engine over so many answers is taken to need twice the time of one over few: about where a GPU is no
longer bound by its memory alone."""
FIRST_DECODE_SECONDS: Final = 0.02 / STEP_ANSWERS
"""For a step of one answer, where nothing is known."""
_READ_MOST: Final = 0.9
"""Of a prompt that is being read no more than so much is taken to be done, however long it takes already."""
_CACHE_TOKENS: Final = 400_000
"""What 50 GB hold of an 8B model's keys and values; the right order of magnitude is enough."""


class Charge:
    """Prompt tokens that a replica has been sent and not yet read. Taken back once, whoever comes first."""

    __slots__ = ("_replica", "due", "tokens")

    def __init__(self, replica: Replica, tokens: float, due: float) -> None:
        self._replica, self.tokens = replica, tokens
        """0 once it is taken back."""
        self.due = due
        """When the prompt should have been read (monotonic)."""
        replica.queued += tokens
        replica.ahead += tokens
        replica.reading.append(self)

    def drop(self, now: float | None = None) -> None:
        """The prompt has been read, or nobody wants it any more. `now` is monotonic, None where it is not at hand."""
        replica, tokens = self._replica, self.tokens
        self.tokens = 0.0
        # the sum of what is left can be wrong in its last digit
        replica.queued = max(0.0, replica.queued - tokens) if replica.inflight else 0.0
        replica.advance(now)


class Replica:
    """One target as this process sees it. It outlives route tables, so that its counts stay true.

    A target that was started anew is another replica: what the one before held and how fast it was is gone with it.
    """

    __slots__ = (
        "_failures",
        "_probing",
        "_retry_at",
        "ahead",
        "cache",
        "decode",
        "decode_seconds",
        "held",
        "inflight",
        "pool",
        "prefill",
        "prefill_seconds",
        "queued",
        "read_from",
        "reading",
        "silent",
        "target",
    )

    def __init__(self, target: Target, credentials: TlsIdentity | None = None) -> None:
        self.target = target
        self.pool = UpstreamPool(target.address, target.token, target.networks, credentials)
        self.inflight = 0
        self.queued = 0.0
        """Uncached prompt tokens on their way there."""
        self.reading: deque[Charge] = deque()
        """Charges in the order in which they came, the first of them not taken back."""
        self.read_from: float | None = None
        """Since when the first is read (monotonic); None where that is not known yet."""
        self.ahead = 0.0
        """Uncached prompt tokens that it was sent in the last minutes beyond its share; below 0 where it got less."""
        self.silent: deque[Charge] = deque()
        """Charges of requests that tell nothing until they end; they are dropped when they are due."""
        self.prefill, self.decode = Pace(), Pace()
        """For one prompt token; of one answer of n, for one token divided by 64 + n. Observed."""
        self.prefill_seconds, self.decode_seconds = FIRST_PREFILL_SECONDS, FIRST_DECODE_SECONDS
        """What routing reckons with."""
        self.held = Held(target.cache_tokens or _CACHE_TOKENS)
        self.cache = EngineCache(self.held) if target.cache_events else None
        """Where its engine tells of its cache; else `held` is a guess."""
        self._failures = 0
        self._retry_at = 0.0
        self._probing = False

    @property
    def id(self) -> str:
        """The replica's id."""
        return self.target.replica_id

    def succeeded(self) -> None:
        """It answered; a 4xx counts as an answer."""
        self._failures = 0
        self._probing = False

    def failed(self, now: float) -> None:
        """It refused, vanished or answered 5xx. `now` is monotonic."""
        self._failures += 1
        self._probing = False
        if self._failures >= _FAILURES_TO_OPEN:
            pause = _FIRST_PAUSE_SECONDS * 2 ** min(self._failures - _FAILURES_TO_OPEN, 8)
            self._retry_at = now + min(pause, _LONGEST_PAUSE_SECONDS)

    def left_open(self) -> None:
        """The request ended without telling anything about the replica (its client left, or it was busy)."""
        self._probing = False

    def began(self) -> None:
        """A request is about to be sent; after failures it is the one probe."""
        self.inflight += 1
        self._probing = self._failures >= _FAILURES_TO_OPEN

    def trusted(self, now: float) -> bool:
        """False while its breaker is open, and while one probe is under way afterwards."""
        if self._failures < _FAILURES_TO_OPEN:
            return True
        return now >= self._retry_at and not self._probing

    def waiting(self, now: float) -> float:
        """Prompt tokens that a request sent now would wait for.

        Engines read one prompt after the other: of the first, which may be many times as long as all others, a part is
        done already.
        """
        silent = self.silent
        while silent and silent[0].due <= now:
            silent.popleft().drop(now)
        reading, since = self.reading, self.read_from
        if not reading:
            return 0.0
        if since is None:
            self.read_from = now
            return self.queued
        done, most = (now - since) / self.prefill_seconds, reading[0].tokens * _READ_MOST
        return self.queued - (done if done < most else most)

    def advance(self, now: float | None) -> None:
        """Charges were taken back: if the first was among them, the next is read from now on."""
        reading = self.reading
        if reading and not reading[0].tokens:
            reading.popleft()
            while reading and not reading[0].tokens:
                reading.popleft()
            self.read_from = now
