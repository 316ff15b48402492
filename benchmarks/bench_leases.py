"""What limits that are shared with other processes cost: reserving and closing, in microseconds of this process."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from aicp.core.clock import SystemClock
from aicp.core.route import KeyEntry, LimitsEntry, RouteTable, ScopeEntry
from aicp.gateway.config import SharingRules
from aicp.gateway.record import Record
from aicp.gateway.sharing import Sharing, make_sharing

_PLENTY = 2_000_000_000
_ROUND_SECONDS = 0.1
_WARM_SECONDS = 2.0
_SECONDS = 2.0
_LIMITS = LimitsEntry(rpm=_PLENTY, tpm=_PLENTY)
_KEY = KeyEntry("k", "digest", "p", limits=_LIMITS)
_TABLE = RouteTable("1", "", [_KEY], [], projects=[ScopeEntry("p", _LIMITS, "o")])


def main() -> None:
    """Prints one line for each way. With an address it measures that coordinator, too."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        for coordinator in ("", "file:shared", *sys.argv[1:]):
            sharing = make_sharing(SharingRules(coordinator), Path(folder), clock)
            each, round_ = asyncio.run(_cost(sharing, clock))
            kind = coordinator.partition(":")[0] or "not shared"
            print(f"{kind:12} {each:6.2f} us a request (rpm and tpm of key and project), {round_:6.0f} us a round")
        sharing = make_sharing(SharingRules("file:single"), Path(folder), clock)
        each, _ = asyncio.run(_cost(sharing, clock, rounds=False))
        print(f"{'file':12} {each:6.2f} us a request that has to ask for each unit of all four")


async def _cost(sharing: Sharing, clock: SystemClock, *, rounds: bool = True) -> tuple[float, float]:
    accounts, at = sharing.accounts, datetime.now(UTC)
    accounts.swap(_TABLE)
    mine = accounts.of(_KEY)
    record = Record("r", "k", "p", "s", "/v1/x", False, at, "rep", status=200, prompt_tokens=10, completion_tokens=10)
    if sharing.leases is not None:
        await sharing.leases.round()
        await asyncio.sleep(1.1)  # a new server grants nothing in its first second
    spent, asked, count, turns = 0.0, 0.0, 0, 0
    began = time.perf_counter()
    while (now := time.perf_counter()) - began < _WARM_SECONDS + _SECONDS:
        if sharing.leases is not None and rounds:
            await sharing.leases.round()
        asked_until = time.perf_counter()
        if now - began > _WARM_SECONDS:
            asked, turns = asked + asked_until - now, turns + 1
        while time.perf_counter() - asked_until < _ROUND_SECONDS:
            first = time.perf_counter()
            for _ in range(100):
                grant = accounts.reserve(mine, 10, 10, clock.monotonic(), at)
                grant.close(record, clock.monotonic(), 1)
            if first - began > _WARM_SECONDS:
                spent, count = spent + time.perf_counter() - first, count + 100
    return spent / count * 1e6, asked / turns * 1e6


if __name__ == "__main__":
    main()
