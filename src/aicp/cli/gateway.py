"""`aicp gateway`: the gateway alone, from a file; and the platform's gateway processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, connect, target_of
from aicp.cli.output import print_done, print_json, print_table
from aicp.cli.platform import running_supervisor
from aicp.core.errors import InvalidError, UnavailableError
from aicp.security.keys import make_key

app = typer.Typer(invoke_without_command=True)
_RESTART_SECONDS = 180.0


@app.callback()
def gateway(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option(help="Routes, keys and limits; see the guide.")] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Print a key for the file, and nothing else.")] = False,
) -> None:
    """Serve given upstreams from a file, without a platform; runs until Ctrl-C."""
    if ctx.invoked_subcommand is not None:
        return None
    if new_key:
        return typer.echo(make_key().secret)
    if config is None:
        raise InvalidError("Which file?", hint="aicp gateway --config gateway.yaml")
    os.execv(sys.executable, [sys.executable, "-m", "aicp.main.standalone", str(config)])
    return None


@app.command("restart")
def restart_gateway(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """Have new processes take over from this machine's gateway; no request fails and no stream is cut."""
    data_dir = target_of(ctx).data_dir
    pid = running_supervisor(data_dir)
    if pid is None:
        raise UnavailableError(f"No platform runs on {data_dir}.", hint="Start it with `aicp up`.")
    told = data_dir / "run" / "gateway-restart"
    told.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR2)
    deadline = time.monotonic() + _RESTART_SECONDS
    while not told.exists():
        if time.monotonic() > deadline or running_supervisor(data_dir) != pid:
            raise UnavailableError("The gateway was not restarted.", hint=f"Look into {data_dir / 'logs'}.")
        time.sleep(0.05)
    problem = json.loads(told.read_text())["problem"]
    if problem:
        raise UnavailableError(problem, hint=f"Look into {data_dir / 'logs' / 'gateway.log'}.")
    print_done({"restarted": True}, "New processes serve; the former ones end with their last requests.", as_json=json_)


@app.command("list")
def list_gateways(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """List the gateway's processes and what they have in flight."""
    found = connect(ctx).listeners.gateways()
    if json_:
        return print_json(found)
    print_table(
        found,
        [
            ("place", lambda one: one.slot),
            ("pid", lambda one: one.pid),
            ("version", lambda one: one.version),
            ("state", lambda one: "leaving" if one.leaving else "serving"),
            ("in flight", lambda one: sum(one.inflight.values())),
            ("since", lambda one: one.started_at),
        ],
        empty="No gateway process has been heard of within seconds.",
    )
