"""A real platform for tests: its processes, its clients, and ways to hurt it."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from tests.support.certificates import Authority

from aicp.client.rest import Client
from aicp.core.errors import AicpError
from aicp.core.model import ModelType
from aicp.main.settings import load_settings

T = TypeVar("T")
ENVIRONMENTS = load_settings({}, os.environ).environments_dir
DEMO_MODEL = Path(__file__).parents[2] / "demo" / "model"


def free_ports() -> tuple[int, int]:
    """Two free loopback ports."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def eventually(what: str, check: Callable[[], T], *, seconds: float = 30, every: float = 0.05) -> T:
    """The first truthy value of `check`; fails with `what` and the last value when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s: {what}; last: {value!r}")
        time.sleep(every)


class Platform:
    """One `aicp-server up` on its own data directory and ports."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        self.data_dir = data_dir
        self.port, self.gateway_port = free_ports()
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AICP_")},
            "AICP_DATA_DIR": str(data_dir),
            "AICP_PORT": str(self.port),
            "AICP_GATEWAY_PORT": str(self.gateway_port),
            "AICP_ENVIRONMENTS_DIR": str(ENVIRONMENTS),
            **env,
        }
        self.ca: Path | None = None
        self.url = f"http://127.0.0.1:{self.port}"
        self.gateway_url = f"http://127.0.0.1:{self.gateway_port}"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "aicp.main.server", *words]

    def start(self, command: Sequence[str] | None = None) -> Platform:
        """Starts the supervisor, or `command`, which must become it; waits until REST and gateway answer."""
        log = (self.data_dir.parent / f"{self.data_dir.name}-up.log").open("ab")
        self.process = subprocess.Popen(
            command or self.command("up"),
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        eventually("the platform answers", self.answers, seconds=60)
        return self

    def answers(self) -> bool:
        """Whether an authenticated REST read and the gateway's health both answer."""
        assert self.process is not None
        assert self.process.poll() is None, self.up_log()
        try:
            self.client.session()
            return httpx.get(f"{self.gateway_url}/healthz", trust_env=False, verify=self.verify).status_code == 200
        except (AicpError, OSError, httpx.HTTPError):
            return False

    def up_log(self) -> str:
        return (self.data_dir.parent / f"{self.data_dir.name}-up.log").read_text()

    @property
    def client(self) -> Client:
        """A client as admin."""
        return Client(self.url, (self.data_dir / "run" / "admin.token").read_text().strip(), ca=self.ca)

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """Whom to believe, as httpx takes it."""
        return ssl.create_default_context(cafile=str(self.ca)) if self.ca else True

    def cli(self, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Runs `aicp` as a user on this machine would."""
        command = [sys.executable, "-m", "aicp.cli.app", *words]
        done = subprocess.run(
            command, env={**self.env, **env}, capture_output=True, text=True, timeout=1800, check=False
        )
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def pid(self, process: str) -> int:
        """Pid of `control`, `gateway`, `agent` or `up`."""
        return json.loads((self.data_dir / "run" / f"{process}.json").read_text())["pid"]

    def kill(self, process: str) -> int:
        """kill -9 of one process; answers its pid."""
        pid = self.pid(process)
        os.kill(pid, signal.SIGKILL)
        if process == "up" and self.process is not None:
            self.process.wait(10)
        return pid

    def wait_restarted(self, process: str, old_pid: int, seconds: float = 60) -> int:
        """Waits until `process` runs under another pid."""

        def new_pid() -> int:
            try:
                pid = self.pid(process)
            except (OSError, ValueError):
                return 0
            return pid if pid != old_pid and psutil.pid_exists(pid) else 0

        return eventually(f"{process} runs again", new_pid, seconds=seconds)

    def stop(self) -> int:
        """Clean shutdown; answers the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(120)
        self.process = None
        return status

    def engine_token(self, replica_id: str) -> str:
        """The secret of a replica's present start, to call its engine directly."""
        record = self.data_dir / "agent" / "replicas" / replica_id / "replica.json"
        return json.loads(record.read_text())["token"]

    def import_demo(self, name: str = "aicp-demo") -> None:
        """Imports the demonstration model and waits."""
        client = self.client
        job = client.models.import_directory(name, DEMO_MODEL)
        client.jobs.wait(job.id)
        assert client.models.get(name).type == ModelType.CHAT

    def chat(
        self, key: str, model: str, question: str, *, request_id: str | None = None, **fields: Any
    ) -> httpx.Response:
        """One chat request through the gateway, not streamed. `request_id` becomes the beginning of the gateway's."""
        named = {"x-request-id": request_id} if request_id else {}
        body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0, **fields}
        return httpx.post(
            f"{self.gateway_url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}", **named},
            timeout=120,
            trust_env=False,
            verify=self.verify,
        )


class TlsPlatform(Platform):
    """A platform whose certificate for this machine was signed by `authority`."""

    def __init__(self, data_dir: Path, authority: Authority, **env: str) -> None:
        certificate, key = authority.issue("DNS:localhost,IP:127.0.0.1")
        super().__init__(data_dir, AICP_TLS_CERTIFICATE=str(certificate), AICP_TLS_KEY=str(key), **env)
        self.ca = authority.file
        self.url = self.url.replace("http:", "https:")
        self.gateway_url = self.gateway_url.replace("http:", "https:")
