"""A private Redis server from Debian's package, with a password, on a loopback port in a temporary folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.gateway_process import free_port

PASSWORD = "word-of-the-test"


@dataclass
class RedisServer:
    """Keeps nothing over its end; may be killed and started again."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="aicp-redis-")))
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a gateway is told."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]
        command = ["redis-server", *options, "--dir", str(self.folder), "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as wire:
                wire.sendall(b"PING\r\n")
                if wire.recv(64):
                    return
            time.sleep(0.02)
        raise RuntimeError("redis-server did not answer")

    def empty(self) -> None:
        """Forgets everything."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as wire:
            wire.sendall(f"AUTH {PASSWORD}\r\nFLUSHALL\r\n".encode())
            answer = b""
            while answer.count(b"+OK") < 2:
                answer += wire.recv(64)

    def kill(self) -> None:
        """As the kernel ends a process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def stop(self) -> None:
        """Ends it and removes its files."""
        self.kill()
        shutil.rmtree(self.folder)


def redis_installed() -> bool:
    """Whether there is a server to start."""
    return shutil.which("redis-server") is not None
