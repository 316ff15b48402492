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
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from aicp.core.clock import Clock
from aicp.core.errors import AicpError, UnavailableError
from aicp.core.live import NOBODY, LiveReport, Watched
from aicp.core.route import RouteTable, Total, Totals
from aicp.gateway.body_file import BodyFile
from aicp.gateway.slots import slot_directory, slot_numbers

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_DAY = 86_400
_FILES = "usage-????-??.jsonl"


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


class _Book:
    """One file of batches, read on from where it was read to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.whole = 0
        """Bytes up to the end of the last whole batch."""
        self.last = 0
        """Its sequence."""

    def read_on(self) -> list[_Line]:
        """The records of the whole batches behind what was read."""
        records: list[_Line] = []
        batch: list[_Line] = []
        position = self.whole
        unsound = passed_over = 0
        with self.path.open("rb") as file:
            file.seek(position)
            for text in file:
                position += len(text)
                line = _sound(text)
                if line is None:
                    unsound += 1
                elif line.batch is None:
                    batch.append(line)
                else:
                    if line.batch > self.last:  # else it was written twice
                        records += batch
                    batch, self.whole, passed_over, self.last = [], position, unsound, max(self.last, line.batch)
        if passed_over:
            log.error("%d lines of %s cannot be read; their usage is not counted", passed_over, self.path)
        return records


class Books:
    """Serves one gateway process from a file. `read` gives the table that the file means now; it raises AicpError.

    `directory` is the process's own; other processes in places of `home` write books of their own, which count, too.
    """

    def __init__(
        self,
        directory: Path,
        file: Path,
        read: Callable[[], RouteTable],
        clock: Clock,
        bodies: BodyFile | None = None,
        *,
        home: Path | None = None,
    ) -> None:
        self._bodies = bodies
        self._directory, self._file, self._read, self._clock = directory, file, read, clock
        self._table = read()
        self._seen = _stamp(file)
        self._sequence = 0
        self._writing = asyncio.Lock()
        self._tokens: Counter[tuple[str, str, int]] = Counter()
        """By key, project and day since 1970."""
        self._spent: Counter[tuple[str, str, int]] = Counter()
        """The same in millionths of the currency."""
        self._home = home
        self._others: dict[Path, _Book] = {}
        for path in sorted(directory.glob(_FILES)):
            self._take_up(path)
        self._count_all(self._read_others())

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
        facts: Mapping[str, Any] | None = None,
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
            self._count_all(_line.decode(record) for record in records)

    async def bodies(self, gateway_id: str, sequence: int, records: Sequence[bytes]) -> None:
        """Writes bodies of requests down, once. Raises UnavailableError when the disk does not take them."""
        if self._bodies is None:
            return  # the file had a request log when they were kept, and has none any more
        try:
            # a thread cannot be canceled, and the file writes one batch after the other
            await asyncio.shield(asyncio.to_thread(self._bodies.write, sequence, records))
        except OSError as error:
            raise UnavailableError(f"Bodies of requests cannot be written down: {error.strerror}.") from error

    async def totals(self, gateway_id: str) -> Totals:
        """What was written down, by scope."""
        self._count_all(await asyncio.to_thread(self._read_others))
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
        book = _Book(path)
        self._count_all(book.read_on())
        self._sequence = max(self._sequence, book.last)
        if book.whole < path.stat().st_size:
            os.truncate(path, book.whole)

    def _read_others(self) -> list[_Line]:
        """What other processes have written since the last look. They may be writing: nothing is cut off."""
        records: list[_Line] = []
        if self._home is None:
            return records
        for number in slot_numbers(self._home):
            directory = slot_directory(self._home, number)
            for path in () if directory == self._directory else sorted(directory.glob(_FILES)):
                book = self._others.setdefault(path, _Book(path))
                if path.stat().st_size > book.whole:
                    records += book.read_on()
        return records

    def _count_all(self, records: Iterable[_Line]) -> None:
        for record in records:
            self._count(record)

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
