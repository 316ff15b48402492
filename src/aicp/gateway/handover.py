"""Listening sockets on their way from one gateway process to its successor, so that none is ever closed.

Every process offers its sockets at `handover.sock` in its place, to whoever may open that file. A successor takes them,
begins to serve, and says so; only then the former stops to accept. Connections that wait to be accepted wait at the
socket, which both have, so none is lost in between. A successor that fails before it says so has changed nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aicp.gateway.slots import Slot, slot_directory, slot_numbers

log = logging.getLogger(__name__)

Address = tuple[str, int]
"""Host and port as they were asked for."""
Sockets = dict[Address, list[socket.socket]]
_NAME = "handover.sock"
_MOST_BYTES = 1 << 16
_MOST_SOCKETS = 250
"""The kernel passes 253 at once."""
_READY = b"ready"
_SECONDS = 5.0


class Offer:
    """Offers the sockets of `sockets` to a successor; calls `leave` when it serves."""

    def __init__(
        self, slot: Slot, sockets: Callable[[], Mapping[Address, Sequence[socket.socket]]], leave: Callable[[], None]
    ) -> None:
        self._path, self._sockets, self._leave = slot.directory / _NAME, sockets, leave
        self._listener: socket.socket | None = None
        self._callers: set[socket.socket] = set()

    def open(self) -> None:
        """Begins. Without it the gateway serves all the same, only nobody could take over."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._path.unlink(missing_ok=True)
            with _short(self._path) as name:
                listener.bind(name)
            self._path.chmod(0o600)
            listener.listen(8)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            log.warning("no other process can take over from this one: %s: %s", self._path, error)
            return
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)

    def close(self) -> None:
        """Ends; who has the sockets keeps them."""
        loop = asyncio.get_running_loop()
        if self._listener is not None:
            loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)
        for caller in list(self._callers):
            self._end(caller)

    def _accept(self, listener: socket.socket) -> None:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        caller.setblocking(False)
        pairs = [(address, one) for address, ones in self._sockets().items() for one in ones][:_MOST_SOCKETS]
        message = {"pid": os.getpid(), "addresses": [address for address, _ in pairs]}
        try:
            socket.send_fds(caller, [json.dumps(message).encode()], [one.fileno() for _, one in pairs])
        except OSError as error:
            log.warning("the listening sockets could not be handed over: %s", error)
            caller.close()
            return
        self._callers.add(caller)
        asyncio.get_running_loop().add_reader(caller.fileno(), self._hear, caller)

    def _hear(self, caller: socket.socket) -> None:
        try:
            said = caller.recv(64)
        except OSError:
            said = b""
        self._end(caller)
        if said == _READY:
            self._leave()

    def _end(self, caller: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(caller.fileno())
        self._callers.discard(caller)
        caller.close()


@dataclass(frozen=True, slots=True)
class Taken:
    """Sockets that a living process gave, and the way to tell it that they are in use here."""

    pid: int
    sockets: Sockets
    caller: socket.socket

    def ready(self) -> None:
        """The former process may stop to accept."""
        with suppress(OSError):
            self.caller.send(_READY)
        self.caller.close()

    def close_rest(self) -> None:
        """Closes what was not used: nobody else would accept there."""
        for ones in self.sockets.values():
            for one in ones:
                one.close()
        self.sockets.clear()

    def give_back(self) -> None:
        """Nothing of it is wanted."""
        self.close_rest()
        self.caller.close()


def take_over(slot: Slot, *, pid: int | None = None, address: Address | None = None) -> Taken | None:
    """The sockets of the process `pid`, or of one that listens at `address`; None when no process has them."""
    for number in slot_numbers(slot.home):
        if number == slot.number:
            continue
        taken = _ask(slot_directory(slot.home, number) / _NAME)
        if taken is None:
            continue
        if taken.pid == pid or (address is not None and address in taken.sockets):
            return taken
        taken.give_back()
    return None


def _ask(path: Path) -> Taken | None:
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller.settimeout(_SECONDS)
    try:
        with _short(path) as name:
            caller.connect(name)
        data, descriptors, _, _ = socket.recv_fds(caller, _MOST_BYTES, _MOST_SOCKETS)
    except OSError:
        caller.close()
        return None
    given = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    try:
        message = json.loads(data)
        sockets: Sockets = {}
        for (host, port), one in zip(message["addresses"], given, strict=True):
            os.set_inheritable(one.fileno(), False)
            sockets.setdefault((str(host), int(port)), []).append(one)
        return Taken(int(message["pid"]), sockets, caller)
    except (ValueError, KeyError, TypeError):
        for one in (*given, caller):
            one.close()
        return None


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a unix socket's path that is never too long for one: 107 bytes are all that fit."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
