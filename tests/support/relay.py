"""A TCP relay in front of a platform that counts what clients send and holds it back when told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Passes connections on to `port`. `hold_after`: bytes from clients after which nothing more is passed on."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self.holding = threading.Event()
        self.hold_after: int | None = None
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return self._listener.getsockname()[1]

    def release(self) -> None:
        """Passes everything on from now on."""
        self.hold_after = None
        self.holding.clear()
        self._open.set()

    def close(self) -> None:
        """Takes no more connections."""
        self.release()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        back = threading.Thread(target=self._pump, args=(server, client, False), daemon=True)
        back.start()
        self._pump(client, server, True)

    def _pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(65_536):
                if counted:
                    self._count(len(chunk))
                target.sendall(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _count(self, size: int) -> None:
        with self._lock:
            self.passed += size
            if self.hold_after is not None and self.passed > self.hold_after:
                self._open.clear()
                self.holding.set()
        self._open.wait()


@contextmanager
def relay(port: int) -> Iterator[Relay]:
    """A running relay."""
    running = Relay(port)
    try:
        yield running
    finally:
        running.close()
