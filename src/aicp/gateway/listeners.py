"""Addresses of single models: opened and closed as the route table says, each for itself.

One that cannot be opened is tried again every few seconds; what hinders it is told to the control plane in words.
A certificate whose files change is in use from the next connection on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from aicp.core.route import ListenerEntry
from aicp.gateway.doors import Doors, Factory
from aicp.gateway.handover import Address
from aicp.gateway.live import Connection
from aicp.gateway.routes import Table

log = logging.getLogger(__name__)

_LOOK_SECONDS = 3.0
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(slots=True)
class _Open:
    """A listener that is open, and the certificate that it shows."""

    entry: ListenerEntry
    tls: ssl.SSLContext | None
    stamp: _Stamp


class Listeners:
    """Keeps the listeners of the newest table open. `factory_of` serves a model, `live` are all connections."""

    def __init__(self, doors: Doors, factory_of: Callable[[str], Factory], live: Iterable[Connection]) -> None:
        self._doors, self._factory_of, self._live = doors, factory_of, live
        self._wanted: dict[str, ListenerEntry] = {}
        self._open: dict[str, _Open] = {}
        self._problems: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._ended = False

    def end(self) -> None:
        """Opens nothing any more: another process has taken over."""
        self._ended = True

    def states(self) -> dict[str, str]:
        """By model: empty for one that is open, else what hinders it; one that was not tried yet is not in it."""
        return dict.fromkeys(self._open, "") | self._problems

    def follow(self, table: Table) -> None:
        """Takes a new table."""
        wanted = {entry.model: entry for entry in table.listeners}
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def run(self) -> None:
        """Opens and closes for ever."""
        while True:
            self._changed.clear()
            await self.settle()
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def settle(self) -> None:
        """Makes what is open what is wanted, as far as that can be."""
        if self._ended:
            return
        wanted = dict(self._wanted)
        for model, opened in list(self._open.items()):
            if wanted.get(model) != opened.entry:
                self._close(model)
        self._problems = {model: text for model, text in self._problems.items() if model in wanted}
        for model, entry in wanted.items():
            opened = self._open.get(model)
            if self._ended:
                return
            if opened is None:
                await self._try(entry)
            elif opened.tls is not None:
                await asyncio.to_thread(self._renew, opened, opened.tls)

    def _close(self, model: str) -> None:
        entry = self._open.pop(model).entry
        self._doors.close(_address(entry))
        for connection in list(self._live):
            if connection.only == model:
                connection.leave()
        log.info("the listener of %s on %s:%d is closed", model, entry.address, entry.port)

    async def _try(self, entry: ListenerEntry) -> None:
        stamp = _stamp(entry)
        try:
            tls = await asyncio.to_thread(_context, entry)
            await self._doors.open(_address(entry), self._factory_of(entry.model), tls)
        except (OSError, ValueError) as error:
            problem = explain(entry, error)
            if self._problems.get(entry.model) != problem:
                log.error("the listener of %s is not open: %s", entry.model, problem)
            self._problems[entry.model] = problem
            return
        self._problems.pop(entry.model, None)
        if self._ended:
            self._doors.close(_address(entry))
            return
        self._open[entry.model] = _Open(entry, tls, stamp)
        log.info("the model %s is served on %s:%d", entry.model, entry.address, entry.port)

    def _renew(self, opened: _Open, tls: ssl.SSLContext) -> None:
        """Loads a certificate anew that has changed, once it is sound: half of a new pair must not be in use."""
        entry, stamp = opened.entry, _stamp(opened.entry)
        if stamp == opened.stamp:
            return
        try:
            _context(entry)
            tls.load_cert_chain(str(entry.tls_certificate), entry.tls_key)
        except (OSError, ValueError) as error:
            reason = explain(entry, error)
            problem = f"The changed certificate is left aside, the one before stays in use: {reason}"
            if self._problems.get(entry.model) != problem:
                log.error("%s", problem)
            self._problems[entry.model] = problem
            return
        self._problems.pop(entry.model, None)
        opened.stamp = stamp
        log.info("the listener of %s shows its new certificate", entry.model)


def explain(entry: ListenerEntry, error: Exception) -> str:
    """Why a listener cannot be opened, in words."""
    address, port = entry.address, entry.port
    if isinstance(error, ssl.SSLError):
        certificate, key = entry.tls_certificate, entry.tls_key
        return f"{certificate} and {key} are no certificate with its key."
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"Port {port} on {address} is taken by another program."
    if isinstance(error, OSError) and error.errno == errno.EACCES and error.filename is None:
        return f"The gateway's user may not listen on port {port}."
    if isinstance(error, OSError) and error.filename is not None:
        file, reason = error.filename, error.strerror
        return f"{file} cannot be read by the gateway ({reason})."
    return f"The gateway cannot listen on {address}:{port}: {getattr(error, 'strerror', None) or error}."


def _address(entry: ListenerEntry) -> Address:
    return (entry.address, entry.port)


def _context(entry: ListenerEntry) -> ssl.SSLContext | None:
    if entry.tls_certificate is None:
        return None
    files = [Path(name) for name in (entry.tls_certificate, entry.tls_key) if name]
    for file in files:
        file.open("rb").close()  # says which of the two cannot be read
    return server_tls(*files)


def server_tls(certificate: Path | None, key: Path | None = None) -> ssl.SSLContext | None:
    """What a server shows; None without a certificate. Raises OSError."""
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def _stamp(entry: ListenerEntry) -> _Stamp:
    """What changes whenever one of the certificate's files does."""
    stamps: list[tuple[int, int, int]] = []
    for name in (entry.tls_certificate, entry.tls_key):
        try:
            status = Path(name).stat() if name else None
        except OSError:
            status = None
        stamps.append((0, 0, 0) if status is None else (status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(stamps)
