"""What limits by day and month need: the store's totals, and what this gateway has logged since.

The last totals are kept on disk, so that limits hold after a crash and while the control plane is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from aicp.core.errors import AicpError
from aicp.core.route import Totals
from aicp.gateway.record import Record
from aicp.gateway.usage import closed_records, segments

log = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0
_record = msgspec.json.Decoder(Record)


class Teller(Protocol):
    """Who knows the totals."""

    async def totals(self, gateway_id: str) -> Totals:
        """The totals of now. Raises AicpError."""
        ...


class Ledger(Protocol):
    """What counts by day and month: tokens, or money."""

    @property
    def has_quotas(self) -> bool:
        """Whether any scope has a limit by day or month, so that the totals are needed."""
        ...

    def take(self, totals: Totals) -> None:
        """Takes the store's totals."""
        ...

    def recover(self, segment: int, records: Iterable[Record]) -> None:
        """Counts what an earlier process has logged in a segment that the totals do not hold yet."""
        ...


class TotalsKeeper:
    """Keeps `ledgers` informed. `directory` is the gateway's."""

    def __init__(self, directory: Path, ledgers: Sequence[Ledger], gateway_id: str, control: Teller) -> None:
        self._directory, self._ledgers, self._gateway_id, self._control = directory, ledgers, gateway_id, control
        self._path = directory / "totals.json"
        self._kept = 0
        """The last batch that the totals on disk hold."""

    def load(self, newest: Path | None = None) -> None:
        """Takes the last totals, and what was logged since; for the start, once there is a route table.

        `newest` are those that another process kept: they are of the whole store, only their sequence is not of here.
        """
        totals = _read(self._path) or Totals(at=0.0, sequence=0, scopes={})
        others = None if newest is None or newest == self._path else _read(newest)
        if others is not None and others.at > totals.at:
            totals = replace(others, sequence=totals.sequence)
        self._take(totals)
        self._kept = totals.sequence
        for number, path in segments(self._directory):
            if number > totals.sequence:
                records = [_record.decode(record) for record in closed_records(path.read_bytes())]
                for ledger in self._ledgers:
                    ledger.recover(number, records)

    def needs(self, segment: int) -> bool:
        """Whether a shipped segment is not in the totals on disk yet: a crash would forget what it holds."""
        return segment > self._kept and self._has_quotas()

    async def refresh(self) -> None:
        """Takes the totals of now, where they are needed; for the start. Raises AicpError."""
        if self._has_quotas():
            self._take(await self._control.totals(self._gateway_id))

    async def run(self) -> None:
        """Asks once a second while there is a limit that needs it, for ever."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            if not self._has_quotas():
                continue
            try:
                totals = await self._control.totals(self._gateway_id)
            except AicpError as error:
                log.debug("no totals: %s", error)
                continue
            self._take(totals)
            try:
                await asyncio.to_thread(self._save, totals)
            except OSError as error:
                log.error("the totals cannot be kept for the next start: %s", error)
            else:
                self._kept = totals.sequence

    def _has_quotas(self) -> bool:
        return any(ledger.has_quotas for ledger in self._ledgers)

    def _take(self, totals: Totals) -> None:
        for ledger in self._ledgers:
            ledger.take(totals)

    def _save(self, totals: Totals) -> None:
        unfinished = self._path.with_name(f".{self._path.name}.new")
        unfinished.write_bytes(msgspec.json.encode(totals))
        unfinished.replace(self._path)


def _read(path: Path) -> Totals | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Totals)
    except FileNotFoundError:
        pass
    except (OSError, msgspec.DecodeError) as error:
        log.warning("the kept totals are of no use and are left aside: %s", error)
    return None
