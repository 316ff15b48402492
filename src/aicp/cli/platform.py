"""`aicp up`, `aicp down` and `aicp status`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import psutil
import typer

from aicp.cli.connection import JsonFlag, find_credential, local_pin, open_client, target_of
from aicp.cli.output import err, out, print_facts, print_json
from aicp.client.records import PlatformVersion
from aicp.client.rest import Client
from aicp.core.errors import AicpError, ForbiddenError, InvalidError, UnavailableError
from aicp.core.gateway import GatewayStatus
from aicp.core.node import Node
from aicp.core.service import Service

T = TypeVar("T")
_READY_SECONDS = 60.0


def server_command(data_dir: Path, options: list[str]) -> list[str]:
    """The command line of the supervisor."""
    return [sys.executable, "-m", "aicp.main.server", "up", "--data-dir", str(data_dir), *options]


def running_supervisor(data_dir: Path) -> int | None:
    """Pid of the supervisor that holds `data_dir`, None when there is none."""
    try:
        record = json.loads((data_dir / "run" / "up.json").read_text())
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["start_time"]) < 1.0
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return process.pid if same and process.status() != psutil.STATUS_ZOMBIE else None


def wait_until_up(data_dir: Path, process: subprocess.Popen[bytes] | None, local_url: str | None = None) -> Client:
    """Waits until REST answers an authenticated read. Raises UnavailableError when the platform ends first."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        if process is not None and process.poll() is not None:
            raise UnavailableError(
                "The platform did not start; its message is above.", hint=f"Logs are in {data_dir / 'logs'}."
            )
        client = _try_connect(data_dir, local_url)
        if client is not None:
            return client
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"The platform did not answer within {_READY_SECONDS:.0f} s.", hint=f"Look into {data_dir / 'logs'}."
            )
        time.sleep(0.05)


def _try_connect(data_dir: Path, local_url: str | None) -> Client | None:
    run = data_dir / "run"
    try:
        url = local_url or json.loads((run / "endpoints.json").read_text())["console_url"]
        client = Client(url, (run / "admin.token").read_text().strip(), pin=local_pin(data_dir, url))
        client.session()
    except (OSError, ValueError, KeyError, AicpError):
        return None
    return client


def up(
    ctx: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once the platform answers.")] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default loopback.")] = None,
    port: Annotated[int | None, typer.Option(help="Console and REST.")] = None,
    gateway_port: Annotated[int | None, typer.Option(help="OpenAI-compatible API; default the next one.")] = None,
    runner: Annotated[
        str | None, typer.Option(help="Where replicas run: local, ray or kubernetes; default local.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="HOST:PORT at which further machines join; default: none can.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow other addresses without TLS.")] = False,
) -> None:
    """Start the platform on this machine."""
    target = target_of(ctx)
    given = {"--host": host, "--port": port or target.port, "--gateway-port": gateway_port, "--runner": runner}
    given["--cluster-address"] = cluster
    options = [part for name, value in given.items() if value is not None for part in (name, str(value))]
    command = server_command(target.data_dir, options + (["--insecure"] if insecure else []))
    if not detach:
        os.execv(command[0], command)
    running = running_supervisor(target.data_dir)
    client = wait_until_up(target.data_dir, None) if running else _start_detached(target.data_dir, command)
    out.print(f"{'Already up' if running else 'Up'}: console {client.transport.url}", markup=False)


def start_supervisor(path: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """Starts a supervisor, which says what it has to say in `path`: the caller's streams must end with the caller.

    Raises InvalidError when the file cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("w") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    except OSError as error:
        raise InvalidError(
            f"{path} cannot be written ({error.strerror}).", hint="Name a directory of yours with --data-dir."
        ) from error


def _start_detached(data_dir: Path, command: list[str]) -> Client:
    path = data_dir / "logs" / "up.log"
    process = start_supervisor(path, command)
    try:
        return wait_until_up(data_dir, process)
    except UnavailableError:
        err.print(path.read_text().rstrip(), markup=False)
        raise


def stop_platform(data_dir: Path, *, timeout_seconds: float = 90) -> bool:
    """Stops the platform and its engines; False when none runs. Raises UnavailableError when it does not end."""
    pid = running_supervisor(data_dir)
    if pid is None:
        return False
    process = psutil.Process(pid)
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + timeout_seconds
    while not _ended(process):
        if time.monotonic() > deadline:
            raise UnavailableError(f"The platform (pid {pid}) did not stop within {timeout_seconds:.0f} s.")
        time.sleep(0.05)
    return True


def _ended(process: psutil.Process) -> bool:
    try:  # whoever started it may not have taken note of its end yet
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def down(ctx: typer.Context) -> None:
    """Stop the platform and its engines."""
    data_dir = target_of(ctx).data_dir
    if stop_platform(data_dir):
        out.print("Stopped.")
    else:
        err.print(f"No platform runs on {data_dir}.", markup=False)


def status(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """Show whether the platform answers, what it serves, who you are there and by what credential."""
    target = target_of(ctx)
    credential = find_credential(target)
    client = open_client(target, credential.url, credential.token)
    version, session = client.records.version(), client.session()
    services, nodes = _allowed(client.services.list), _allowed(client.nodes.list)
    gateways = _allowed(client.listeners.gateways)
    if json_:
        you = {"user": session.user.name, "credential": credential.source}
        counted = {"nodes": None if nodes is None else len(nodes), "services": services, "gateways": gateways}
        return print_json({"url": client.transport.url, "version": version, **you, **counted})
    print_facts(
        [
            ("platform", client.transport.url),
            ("version", version.version),
            *_runner(version),
            ("you are", f"{session.user.name}, by {credential.source}"),
            ("nodes", _ready(nodes)),
            ("services", _ready(services)),
            ("gateway", _processes(gateways)),
            *_coordinator(gateways),
        ]
    )


def _runner(version: PlatformVersion) -> list[tuple[str, str]]:
    """What a runner with a head survives; nothing for one without."""
    seconds = version.head_patience_seconds
    if seconds is None:
        return []
    away = "which does not answer now" if version.head_answers is False else "which answers now"
    return [("runner", f"{version.runner}; nodes serve on for at least {seconds} s without its head, {away}")]


def _allowed(read: Callable[[], list[T]]) -> list[T] | None:
    try:
        return read()
    except ForbiddenError:
        return None


def _processes(found: Sequence[GatewayStatus] | None) -> str:
    """How many processes serve, and which; those that another one took over from come last."""
    if found is None:
        return "not for this user"
    serving = [one for one in found if not one.leaving]
    pids = ", ".join(f"pid {one.pid}" for one in serving)
    leaving = f"; {len(found) - len(serving)} leaving" if len(found) > len(serving) else ""
    return f"{len(serving)} serving{f' ({pids})' if pids else ''}{leaving}"


def _coordinator(found: Sequence[GatewayStatus] | None) -> list[tuple[str, str]]:
    """Whether shared limits are shared at this moment; nothing where none are."""
    lost = [f"pid {one.pid}" for one in found or () if one.coordinator == "lost"]
    if lost:
        return [("shared limits", f"the coordinator does not answer {', '.join(lost)}, which hold to their part")]
    return [("shared limits", "connected")] if any(one.coordinator for one in found or ()) else []


def _ready(found: Sequence[Node | Service] | None) -> str:
    if found is None:
        return "not for this user"
    return f"{sum(1 for one in found if one.state == 'ready')} of {len(found)} ready"
