"""The replicas behind a route: how busy, how healthy, and which one is next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from aicp.core.route import Target
from aicp.gateway.upstream import UpstreamPool

_FAILURES_TO_OPEN = 3
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0


class Replica:
    """One target as this process sees it. It outlives route tables, so that its counts stay true."""

    __slots__ = ("_failures", "_probing", "_retry_at", "inflight", "pool", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pool = UpstreamPool(target.address, target.token)
        self.inflight = 0
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


def choose(
    replicas: Sequence[Replica], tried: Collection[Replica], now: float, random: Callable[[], float]
) -> Replica | None:
    """The replica with the fewest requests in flight, ties by chance; None when all were tried.

    Replicas with an open breaker serve only when no other is left: refusing without a try helps nobody.
    """
    if len(replicas) == 1:
        return None if replicas[0] in tried else replicas[0]
    left = [replica for replica in replicas if replica not in tried]
    trusted = [replica for replica in left if replica.trusted(now)] or left
    if not trusted:
        return None
    fewest = min(replica.inflight for replica in trusted)
    ties = [replica for replica in trusted if replica.inflight == fewest]
    return ties[int(random() * len(ties))]
