"""What the control plane does for a gateway, done from a file: tables, usage, totals.

Usage is kept as JSON lines, a file a month (UTC, of the moment it was counted). A batch is its records and then a
line `{"batch": <sequence>}`: what stands behind the last of those lines when the gateway starts is the part of a batch
that a crash cut; it is cut off, and comes again. A line before it that cannot be read is passed over.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aicp.core.clock import Clock
from aicp.core.errors import AicpError, UnavailableError
from aicp.core.live import NOBODY, LiveReport, Watched
from aicp.core.route import RouteTable, Total, Totals

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_DAY = 86_400


class _Line(msgspec.Struct):
    """A record, or the end of a batch."""

    batch: int | None = None
    api_key_id: str = ""
    project: str = ""
    started_at: datetime | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_micros: int | None = None


_line = msgspec.json.Decoder(_Line)


class Books:
    """Serves one gateway from a file. `read` gives the table that the file means now; it raises AicpError."""

    def __init__(self, directory: Path, file: Path, read: Callable[[], RouteTable], clock: Clock) -> None:
        self._directory, self._file, self._read, self._clock = directory, file, read, clock
        self._table = read()
        self._seen = _stamp(file)
        self._sequence = 0
        self._writing = asyncio.Lock()
        self._tokens: Counter[tuple[str, str, int]] = Counter()
        """By key, project and day since 1970."""
        self._spent: Counter[tuple[str, str, int]] = Counter()
        """The same in millionths of the currency."""
        for path in sorted(directory.glob("usage-????-??.jsonl")):
            self._take_up(path)

    async def routes(self, etag: str = "", *, wait_seconds: float = 30.0) -> RouteTable | None:
        """The table, at once when it is another than `etag`, else when the file changes; a wrong file is left aside."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        while self._table.etag == etag:
            if loop.time() >= deadline:
                return None
            await asyncio.sleep(_LOOK_SECONDS)
            self._look()
        return self._table

    async def heartbeat(
        self,
        gateway_id: str,
        etag: str,
        inflight: Mapping[str, int],
        started_at: datetime | None = None,
        live: LiveReport | None = None,
    ) -> Watched:
        """Nobody waits for it here."""
        return NOBODY

    async def usage(self, gateway_id: str, sequence: int, records: Sequence[bytes]) -> None:
        """Writes a batch down, once. Raises UnavailableError when the disk does not take it."""
        # a thread cannot be canceled: who comes again with a batch whose writing goes on waits for its end
        await asyncio.shield(self._write_down(sequence, records))

    async def _write_down(self, sequence: int, records: Sequence[bytes]) -> None:
        async with self._writing:
            if sequence <= self._sequence:
                return
            try:
                await asyncio.to_thread(self._append, sequence, records)
            except OSError as error:
                raise UnavailableError(f"Usage cannot be written down: {error.strerror}.") from error
            self._sequence = sequence
            for record in records:
                self._count(_line.decode(record))

    async def totals(self, gateway_id: str) -> Totals:
        """What was written down, by scope."""
        now = self._clock.now().astimezone(UTC)
        today = int(now.timestamp()) // _DAY
        first = today - (now.day - 1)
        scopes, spent = (self._by_scope(counts, today, first) for counts in (self._tokens, self._spent))
        return Totals(at=now.timestamp(), sequence=self._sequence, scopes=scopes, spent=spent)

    async def close(self) -> None:
        """Nothing is open."""

    def _by_scope(self, counts: Counter[tuple[str, str, int]], today: int, first: int) -> dict[str, Total]:
        """Sums of `today` and of the days since `first`."""
        parents = {project.name: project.parent for project in self._table.projects}
        days: Counter[str] = Counter()
        months: Counter[str] = Counter()
        for (key, project, day), count in counts.items():
            if day < first:
                continue
            for scope in (f"key:{key}", f"project:{project}", f"organization:{parents.get(project, '')}"):
                months[scope] += count
                days[scope] += count if day == today else 0
        return {scope: Total(days[scope], count) for scope, count in months.items()}

    def _look(self) -> None:
        stamp = _stamp(self._file)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._table = self._read()
        except AicpError as error:
            log.error("the changed file is left aside: %s", error)
        else:
            log.info("the changed file is in use")

    def _append(self, sequence: int, records: Sequence[bytes]) -> None:
        path = self._directory / f"usage-{self._clock.now().astimezone(UTC):%Y-%m}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            data = b"".join(b"%b\n" % record for record in records) + b'{"batch":%d}\n' % sequence
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)

    def _take_up(self, path: Path) -> None:
        """Counts a file of an earlier run, and cuts off the part of a batch at its end."""
        position = whole = last = 0
        batch: list[_Line] = []
        unsound = passed_over = 0
        with path.open("rb") as file:
            for text in file:
                position += len(text)
                line = _sound(text)
                if line is None:
                    unsound += 1
                elif line.batch is None:
                    batch.append(line)
                else:
                    if line.batch > last:  # else it was written twice
                        for record in batch:
                            self._count(record)
                    batch, whole, passed_over, last = [], position, unsound, max(last, line.batch)
        self._sequence = max(self._sequence, last)
        if passed_over:
            log.error("%d lines of %s cannot be read; their usage is not counted", passed_over, path)
        if whole < path.stat().st_size:
            os.truncate(path, whole)

    def _count(self, record: _Line) -> None:
        tokens = (record.prompt_tokens or 0) + (record.completion_tokens or 0)
        if tokens and record.started_at is not None:
            place = (record.api_key_id, record.project, int(record.started_at.timestamp()) // _DAY)
            self._tokens[place] += tokens
            self._spent[place] += record.cost_micros or 0


def _sound(text: bytes) -> _Line | None:
    try:
        return _line.decode(text) if text.endswith(b"\n") else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _stamp(file: Path) -> tuple[int, int, int]:
    """What changes whenever a file is written anew or replaced."""
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_size, status.st_mtime_ns)
