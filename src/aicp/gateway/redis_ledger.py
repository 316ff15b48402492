"""The coordinator over machines: Redis or Valkey. One script for all rows of a round, in the server's time.

The script, `settle.lua`, is `coordination.settle` in Lua. A server that has lost what it knew (it was started anew
without persistence) grants nothing but of days and months in its first second: all processes tell it of their last
minute then.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aicp.core.errors import InvalidError
from aicp.gateway.coordination import Ask, LostCoordinator, Settled, Told
from aicp.gateway.presence import Presence

_SECONDS = 0.5
_PREFIX = "{aicp:limits}:"
"""In braces: a cluster keeps all rows in one place, where one script can change them."""
_FIELDS = 6
SCRIPT = (Path(__file__).parent / "settle.lua").read_text()


class RedisLedger:
    """`url` as redis-py reads it, `valkey` meaning `redis`. Raises InvalidError for one that is none."""

    def __init__(self, url: str, presence: Presence, *, script: str = SCRIPT) -> None:
        import redis.asyncio  # noqa: PLC0415 only where it is used
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415

        self._presence, self._errors = presence, (RedisError, OSError, TimeoutError)
        address = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
        options: dict[str, Any] = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
        options["retry"] = Retry(NoBackoff(), 0)  # a round that failed is followed by the next one
        try:
            self._client: Any = redis.asyncio.Redis.from_url(address, **options)
        except ValueError as error:
            raise InvalidError(f"The coordinator's address cannot be used: {error}.") from error
        self._script: Any = self._client.register_script(script)
        self._sequence = 0

    async def settle(self, asks: Sequence[Ask]) -> Settled:
        """See Coordinator."""
        self._presence.look()
        self._sequence += 1
        ended = list(self._presence.ended)
        values: list[str | int] = [self._presence.name, self._sequence, len(ended), *ended]
        keys = [_PREFIX + "processes", _PREFIX + "born"]
        for ask in asks:
            keys.append(_key(ask.name))
            values += [ask.kind, ask.most, ask.keep, ask.used, ask.need, ask.least, ask.extra, int(ask.firm), ask.view]
        try:
            async with asyncio.timeout(2 * _SECONDS):
                answer: list[Any] = await self._script(keys=keys, args=values)
        except self._errors as error:
            raise LostCoordinator(str(error) or type(error).__name__) from error
        processes, born, rest = answer[0], answer[1], answer[2:]
        told = [_told(rest[first : first + _FIELDS]) for first in range(0, len(rest), _FIELDS)]
        return Settled(told, processes, bytes(born).decode())

    async def close(self) -> None:
        """See Coordinator."""
        self._presence.close()
        await self._client.aclose()


def _key(name: str) -> str:
    """Ids of keys and names of projects do not stand in the server in the clear."""
    return _PREFIX + hashlib.sha256(name.encode()).hexdigest()[:32]


def _told(values: list[int]) -> Told:
    granted, left, seconds, reset, wanted, final = values
    return Told(granted, left, seconds, reset, wanted=bool(wanted), final=bool(final))
