"""A gateway's usage log and its shipping without the gateway: requests begin and end as fast as the log takes them.

    python usage_writer.py DIRECTORY CONTROL_URL TOKEN ROWS

What has returned is noted in DIRECTORY/truth, a byte for each request, through shared memory: that stands when this
process is killed at any moment. 0: not begun, 1: begun, 2: ended. A new process goes on behind the last one that was
begun, leaving one out, of which nobody knows how far it came. It ends with 0 when all are counted.
"""

from __future__ import annotations

import asyncio
import mmap
import random
import sys
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from aicp.client.internal import InternalClient
from aicp.core.errors import AicpError
from aicp.gateway.record import Record
from aicp.gateway.shipping import Shipping
from aicp.gateway.usage import UsageLog

_OPEN = 200
"""So many requests are under way."""
_TURN = 2000
_MOST_WAITING = 12
"""Sealed segments: when there are more the writing waits, so that the disk is not what is measured."""


def tokens_of(number: int) -> tuple[int, int, int]:
    """Prompt and completion tokens, and the cost, of request `number`: nobody has to keep them."""
    return number * 7919 % 997, number * 104729 % 331, number * 1299709 % 1009


def record_of(number: int) -> Record:
    """It begins."""
    project = number % 5
    return Record(
        f"soak-{number}",
        f"key_soak{number % 20}",
        f"project-{project}",
        f"service-{number % 3}",
        "/v1/chat/completions",
        number % 2 == 0,
        datetime.now(UTC),
    )


def end(record: Record, number: int) -> Record:
    """It has ended."""
    record.prompt_tokens, record.completion_tokens, record.cost_micros = tokens_of(number)
    record.outcome, record.status, record.replica_id = "ok", 200, "rep_1"
    record.duration_ms, record.ttft_ms = 12.5, 1.5 + number % 50
    return record


def first_free(truth: mmap.mmap, rows: int) -> int:
    """Where a new process begins: behind the last one that was begun, and one more."""
    last = max(truth.rfind(b"\1"), truth.rfind(b"\2"))
    return 0 if last < 0 else min(last + 2, rows)


async def fewer(shipping: Shipping, most: int) -> None:
    """Until no more than `most` segments wait."""
    while shipping.waiting() > most:  # noqa: ASYNC110 nothing tells of it
        await asyncio.sleep(0.02)


async def write(usage: UsageLog, shipping: Shipping, truth: mmap.mmap, rows: int) -> None:
    """Begins and ends the rest of the requests, the ends in another order than the beginnings."""
    chance, running = random.Random(), deque[tuple[int, Record]]()
    for number in range(first_free(truth, rows), rows):
        record = record_of(number)
        usage.begin(record)
        truth[number] = 1
        running.append((number, record))
        if len(running) > _OPEN:
            running.rotate(chance.randrange(_OPEN))
            _end(usage, truth, *running.popleft())
        if number % _TURN == 0:
            await asyncio.sleep(0)
            await fewer(shipping, _MOST_WAITING)
    while running:
        _end(usage, truth, *running.popleft())


def _end(usage: UsageLog, truth: mmap.mmap, number: int, record: Record) -> None:
    usage.end(end(record, number))
    truth[number] = 2


async def run(directory: Path, url: str, token: str, rows: int) -> None:
    """Writes and ships until all is counted."""
    with (directory / "truth").open("r+b") as file:
        truth = mmap.mmap(file.fileno(), rows)
    client, usage = InternalClient(url, token), UsageLog(directory)
    shipping = Shipping(directory, usage, "gw_soak", client)
    (directory / "began").touch()
    loops = [asyncio.create_task(_ship(shipping)), asyncio.create_task(shipping.keep_on_disk())]
    await write(usage, shipping, truth, rows)
    usage.seal()
    await fewer(shipping, 0)
    for loop in loops:
        loop.cancel()
    usage.close()


async def _ship(shipping: Shipping) -> None:
    """As `Shipping.run`, without its rest of a second between two rounds."""
    while True:
        try:
            await shipping.ship()
        except (AicpError, OSError):
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    uvloop.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
