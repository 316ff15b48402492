"""The gateways that are measured, each as a process of its own in front of the same engines on the same core."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
from gateway.programs import GATEWAY_CORE, MODEL, chat_body, end, start
from tests.support.control_plane import TOKEN, ControlPlane
from tests.support.gateway_process import ENDPOINTS, entry_of, free_port, new_secret, table_of
from tests.support.http_wire import Asked

from aicp.core.route import LimitsEntry, RouteEntry, Target

_START_SECONDS = 180.0
_LIMITS = LimitsEntry(rpm=10**9, tpm=10**12, concurrency=10**6)
_SEQUENCE = re.compile(rb'"sequence":(\d+)')
_REFUSED_FIELDS = ["priority", "chat_template"]


@dataclass(frozen=True)
class Door:
    """Something that answers at `port` for `key`; `pid` None is the engine itself."""

    name: str
    port: int
    key: str
    pid: int | None = None

    def cpu_seconds(self) -> float:
        """Processor time of its processes and all their threads since their start; user and system."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes())

    def kernel_seconds(self) -> float:
        """The part of it that was spent in the kernel, most of it on sockets."""
        return sum(process.cpu_times().system for process in self._processes())

    def resident_bytes(self) -> int:
        """Its memory that is in RAM."""
        return sum(process.memory_info().rss for process in self._processes())

    def _processes(self) -> Sequence[psutil.Process]:
        if self.pid is None:
            return ()
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]


class _Intake(ControlPlane):
    """Takes usage without decoding it: the stand-in shares a core with the load."""

    async def _answer(self, asked: Asked) -> tuple[int, Any]:
        found = _SEQUENCE.search(asked.body, 0, 200)
        if asked.path != "/internal/v1/usage" or found is None:
            return await super()._answer(asked)
        return 200, {"sequence": int(found[1])}


@contextmanager
def ours(directory: Path, ports: Sequence[int], *, cache_tokens: int | None = None, **_: Any) -> Iterator[Door]:
    """`aicp-server gateway` as it runs in the platform: a hashed key with limits that nobody reaches, a route over all
    engines, usage on disk, which a control plane counts. `cache_tokens` is how much each engine's cache holds."""
    key, port = new_secret(), free_port()
    targets = [
        Target(f"rep_{number}", f"http://127.0.0.1:{port}", "t", None, cache_tokens)
        for number, port in enumerate(ports)
    ]
    route = RouteEntry(MODEL, MODEL, "default", "chat", "test", MODEL, ENDPOINTS["chat"], _REFUSED_FIELDS, targets)
    token = directory / "run" / "internal.token"
    token.parent.mkdir(mode=0o700, parents=True)
    token.write_text(TOKEN)
    token.chmod(0o600)
    directory.chmod(0o700)
    with _control(_Intake(table=table_of([route], [replace(entry_of(key), limits=_LIMITS)]))) as control:
        options = {"data-dir": directory, "gateway-port": port, "port": control.port, "log-level": "warning"}
        flags = [f"--{name}={value}" for name, value in options.items()]
        with _running([Path(sys.executable).with_name("aicp-server"), "gateway", *flags], directory) as pid:
            yield _ready(Door("ours", port, key, pid))


@contextmanager
def sglang_router(
    directory: Path, ports: Sequence[int], environment: Path, options: Sequence[str] = ()
) -> Iterator[Door]:
    """sglang-router with its cache-aware policy and what else it does unasked, but for `options`."""
    port = free_port()
    workers = [f"http://127.0.0.1:{port}" for port in ports]
    options = [*options, "--policy", "cache_aware", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    options += ["--prometheus-port", str(free_port())]
    program = [environment / "bin" / "python", "-m", "sglang_router.launch_router", "--worker-urls", *workers, *options]
    with _running(program, directory) as pid:
        yield _ready(Door("sglang_router", port, "none", pid))


@contextmanager
def litellm(directory: Path, ports: Sequence[int], environment: Path) -> Iterator[Door]:
    """LiteLLM's proxy with one worker, no database and no callbacks; its one key is the master key."""
    port, key = free_port(), "sk-benchmark"
    models = [
        {
            "model_name": MODEL,
            "litellm_params": {
                "model": f"openai/{MODEL}",
                "api_base": f"http://127.0.0.1:{port}/v1",
                "api_key": "none",
            },
        }
        for port in ports
    ]
    configuration = directory / "litellm.yaml"
    configuration.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": key}}))
    options = ["--config", configuration, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with _running([environment / "bin" / "litellm", *options], directory, offline) as pid:
        yield _ready(Door("litellm", port, key, pid))


@contextmanager
def _control(control: ControlPlane) -> Iterator[ControlPlane]:
    """A control plane on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(control.start(), loop).result()
        yield control
    finally:
        asyncio.run_coroutine_threadsafe(_ended(control), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(control: ControlPlane) -> None:
    await control.stop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)  # its connections were cut


@contextmanager
def _running(command: Sequence[str | Path], directory: Path, more: dict[str, str] | None = None) -> Iterator[int]:
    with (directory / "log").open("wb") as log:
        process = start(command, GATEWAY_CORE, environment=more, stdout=log, stderr=subprocess.STDOUT, cwd=directory)
        try:
            yield process.pid
        finally:
            end(process)


def _ready(door: Door) -> Door:
    """Waits until it answers from an engine. Raises TimeoutError."""
    url = f"http://127.0.0.1:{door.port}/v1/chat/completions"
    headers = {"authorization": f"Bearer {door.key}", "content-type": "application/json"}
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        assert door.pid is not None
        if psutil.Process(door.pid).status() == psutil.STATUS_ZOMBIE:
            break
        try:
            if httpx.post(url, content=chat_body("Hi"), headers=headers, trust_env=False).status_code == 200:
                return door
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"{door.name} does not answer; its log is in its directory")


DOORS: dict[str, Callable[..., Any]] = {"ours": ours, "sglang_router": sglang_router, "litellm": litellm}
