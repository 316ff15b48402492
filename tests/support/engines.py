"""Real engine processes for tests: versions made from folders, starts, requests over the socket, memory measured."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from tests.support.platform import ENVIRONMENTS

from aicp.artifacts.admission import admit
from aicp.artifacts.formats.inspect import FileSet, inspect_files
from aicp.core.accelerator import Accelerator
from aicp.core.clock import SystemClock
from aicp.core.launch import Allocation, LaunchSpec
from aicp.core.model import Architecture, ModelFile, ModelFormat, ModelType, ModelVersion
from aicp.core.quantity import GIB
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, LaunchRequest, Sizing
from aicp.environments.base import EnvironmentKey
from aicp.environments.environments import Environments

TOKEN = "engine-token"
CPU = Accelerator(vendor="cpu", index=0, device_id="cpu-0", product="processor", memory_bytes=16 * GIB, cores=2)


def make_version(**more: Any) -> ModelVersion:
    """A chat model version of 100 million parameters in 16 bits."""
    values: dict[str, Any] = {
        "id": "ver_1",
        "model": "demo",
        "version": "v1",
        "digest": "0" * 64,
        "format": ModelFormat.SAFETENSORS,
        "files": [ModelFile(path="model.safetensors", sha256="0" * 64, size_bytes=200_000_000)],
        "size_bytes": 200_000_000,
        "weight_bytes": 200_000_000,
        "architecture": Architecture(
            name="Qwen3ForCausalLM",
            layers=12,
            hidden_size=768,
            attention_heads=12,
            kv_heads=4,
            head_dim=64,
            vocab_size=32000,
            has_chat_template=True,
        ),
        "parameters": 100_000_000,
        "dtype": "bfloat16",
        "context_length": 8192,
        "source": "directory",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        **more,
    }
    return ModelVersion(**values)


def version_of(path: Path, **more: Any) -> tuple[ModelVersion, ModelType]:
    """The version and type that an import of a folder, or of one GGUF file, would find."""
    root = path if path.is_dir() else path.parent
    paths = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    sizes = {file.relative_to(root).as_posix(): file.stat().st_size for file in paths}
    format = admit(list(sizes), strict=False).format
    facts = inspect_files(FileSet(sizes, lambda name: (root / name).open("rb")), format)
    version = make_version(
        format=format,
        files=[ModelFile(path=name, sha256="0" * 64, size_bytes=size) for name, size in sizes.items()],
        size_bytes=sum(sizes.values()),
        weight_bytes=facts.weight_bytes,
        architecture=facts.architecture,
        parameters=facts.parameters,
        dtype=facts.dtype,
        quantization=facts.quantization,
        context_length=facts.context_length,
        **more,
    )
    return version, facts.type


def make_request(
    version: ModelVersion | None = None,
    *,
    model_type: ModelType = ModelType.CHAT,
    mode: Mode = Mode.BALANCED,
    context_length: int = 1024,
    users: int = 4,
    cpu_cores: float = 2.0,
    **more: Any,
) -> LaunchRequest:
    """A request to launch one replica under the name `m`."""
    values: dict[str, Any] = {
        "allocation": Allocation(node_id="n", devices=[], cpu_cores=cpu_cores, memory_bytes=4 * GIB),
        "served_name": "m",
        "engine_version": "1",
        **more,
    }
    return LaunchRequest(
        version=version or make_version(),
        model_type=model_type,
        mode=mode,
        sizing=Sizing(context_length=context_length, users=users, cpu_cores=cpu_cores),
        **values,
    )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=300)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass
class RunningEngine:
    """A started engine in a process group of its own."""

    process: subprocess.Popen[bytes]
    listen: Path
    log: Path
    started: float
    peak_bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def request(self, method: str, path: str, body: Any = None, token: str = TOKEN, **more: str) -> tuple[int, Any]:
        """Status and parsed answer; text where the answer is not JSON. `more` are further headers."""
        connection = _UnixConnection(self.listen)
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", **more}
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def wait_ready(self, seconds: float) -> float:
        """Seconds from start until /health answers 200. Raises AssertionError with the log's end when it does not."""
        while time.monotonic() < self.started + seconds:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log_end()}"
            try:
                if self.request("GET", "/health")[0] == 200:
                    return time.monotonic() - self.started
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"not ready within {seconds} s:\n{self.log_end()}")

    def log_end(self) -> str:
        """The last lines that the engine wrote."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-30:])

    def members(self) -> list[psutil.Process]:
        """All processes of the engine's group."""
        group = self.process.pid
        found = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, ProcessLookupError):
                continue
        return found

    def memory_bytes(self) -> int:
        """Proportional set size of all processes now."""
        total = 0
        for process in self.members():
            try:
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        return total

    def cpu_seconds(self) -> float:
        """Processor time of all living processes so far."""
        times = [process.cpu_times() for process in self.members()]
        return sum(item.user + item.system + item.children_user + item.children_system for item in times)

    def watch_memory(self) -> None:
        """Keeps the highest memory until the engine is stopped."""

        def loop() -> None:
            while not self._stop.wait(0.25):
                self.peak_bytes = max(self.peak_bytes, self.memory_bytes())

        threading.Thread(target=loop, daemon=True).start()

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Seconds from the signal to the leader until the leader ended; the rest of the group is killed after it."""
        self._stop.set()
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - begun

    def kill(self) -> None:
        """Ends the whole group, whatever state it is in."""
        self._stop.set()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@contextmanager
def running(spec: LaunchSpec, directory: Path, *, model: Path, python: Path | None = None) -> Iterator[RunningEngine]:
    """Starts what a driver described, as an agent would: placeholders filled in, nothing else inherited."""
    listen, home = directory / "e.sock", directory / "home"
    home.mkdir(exist_ok=True)
    file = model / spec.weights_file if spec.weights_file else model
    values = {
        "python": str(python or sys.executable),
        "model": str(model),
        "model_file": str(file),
        "listen": str(listen),
        "token": TOKEN,
        "home": str(home),
        "threads": "2",
    }

    def fill(text: str) -> str:
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        return text

    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "TMPDIR": str(home)}
    env |= {name: fill(value) for name, value in spec.env.items()}
    log = directory / "engine.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [fill(word) for word in spec.command],
            env=env,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    engine = RunningEngine(process, listen, log, time.monotonic())
    try:
        yield engine
    finally:
        engine.kill()


def start_engine(
    name: str, model: Path, directory: Path, more: Sequence[str] = (), **request: Any
) -> Iterator[RunningEngine]:
    """The engine on its own environment, built when absent, ready to answer; in mode balanced unless asked.

    `more` are words added to its command.
    """
    driver = Registry[Engine]("aicp.engines").get(name)
    key = EnvironmentKey(name, driver.versions[0], "cpu")
    environments = Environments(ENVIRONMENTS, clock=SystemClock(), parent=os.environ, for_everyone=True)
    asyncio.run(environments.build(key))
    version, model_type = version_of(model)
    launch = make_request(version, **{"model_type": model_type, "engine_version": key.version, **request})
    folder = model if model.is_dir() else model.parent
    spec = driver.launch(launch)
    spec = spec.model_copy(update={"command": [*spec.command, *more]})
    with running(spec, directory, model=folder, python=environments.interpreter(key)) as engine:
        engine.watch_memory()
        engine.wait_ready(240)
        yield engine
