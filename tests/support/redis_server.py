"""A private Redis server from Debian's package, with a password, in a temporary folder; on loopback by default."""

from __future__ import annotations

import shutil
import socket
import ssl
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
    host: str = "127.0.0.1"
    tls: tuple[Path, Path] | None = None
    """Certificate and key with which it speaks TLS, and nothing else."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a gateway is told."""
        return f"redis{'s' if self.tls else ''}://:{PASSWORD}@{self.host}:{self.port}/0"

    def start(self) -> None:
        """Returns when it answers."""
        options = ["--bind", self.host, "--requirepass", PASSWORD, "--save", "", *self._port_options()]
        command = ["redis-server", *options, "--dir", str(self.folder), "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(OSError), self._connect(1) as wire:
                wire.sendall(b"PING\r\n")
                if wire.recv(64):
                    return
            time.sleep(0.02)
        raise RuntimeError("redis-server did not answer")

    def empty(self) -> None:
        """Forgets everything."""
        with self._connect(5) as wire:
            wire.sendall(f"AUTH {PASSWORD}\r\nFLUSHALL\r\n".encode())
            answer = b""
            while answer.count(b"+OK") < 2:
                answer += wire.recv(64)

    def _port_options(self) -> list[str]:
        if self.tls is None:
            return ["--port", str(self.port)]
        files = ("--tls-cert-file", str(self.tls[0]), "--tls-key-file", str(self.tls[1]))
        asks_nobody = ("--tls-ca-cert-file", str(self.tls[0]), "--tls-auth-clients", "no")
        return ["--port", "0", "--tls-port", str(self.port), *files, *asks_nobody]

    def _connect(self, seconds: float) -> socket.socket:
        wire = socket.create_connection((self.host, self.port), seconds)
        if self.tls is None:
            return wire
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(wire)

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
