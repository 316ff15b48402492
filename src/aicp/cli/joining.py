"""`aicp node token`, `tokens`, `token-rm`, `join` and `leave`: further machines for the platform."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, YesFlag, connect, target_of
from aicp.cli.marks import LABEL_HELP, changed_labels, labels_text
from aicp.cli.output import err, print_done, print_json, print_table
from aicp.cli.platform import running_supervisor, start_supervisor, stop_platform
from aicp.cli.pools import checked
from aicp.core.errors import InvalidError, UnavailableError
from aicp.core.join import JoinTokenCreate, JoinWish

_JOIN_SECONDS = 60.0


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `aicp node`."""
    for command in (token, tokens, join, leave):
        app.command()(command)
    app.command("token-rm")(remove_token)


def token(
    ctx: typer.Context,
    hours: Annotated[float, typer.Option(help="For how long it lets machines in.")] = 24,
    uses: Annotated[int, typer.Option(help="How many machines may join with it.")] = 1,
    pool: Annotated[str | None, typer.Option(help="Pool that they become part of.")] = None,
    label: Annotated[list[str] | None, typer.Option(help=LABEL_HELP)] = None,
    json_: JsonFlag = False,
) -> None:
    """Make a token with which further machines join; it is shown this once."""
    asked = {"hours": hours, "uses": uses, "pool": pool, "labels": changed_labels({}, label or [])}
    wanted = checked(JoinTokenCreate, asked)
    made = connect(ctx).join_tokens.create(wanted)
    if json_:
        return print_json(made)
    err.print("On the machine that is to join, run:", markup=False)
    typer.echo(f"aicp node join {made.address} --token {made.token}")
    return None


def tokens(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """List join tokens; their texts are not kept."""
    client = connect(ctx)
    found = client.join_tokens.list()
    if json_:
        return print_json(found)
    address = client.join_tokens.address()
    err.print(
        f"Machines join at {address}."
        if address
        else "No machine can join: start the platform with `aicp up --cluster HOST:PORT`.",
        markup=False,
    )
    print_table(
        found,
        [
            ("id", lambda t: t.id),
            ("by", lambda t: t.created_by),
            ("until", lambda t: t.expires_at),
            ("uses left", lambda t: f"{t.uses_left} of {t.uses}"),
            ("pool", lambda t: t.pool),
            ("labels", lambda t: labels_text(t.labels)),
        ],
        empty="No join tokens. `aicp node token` makes one.",
    )
    return None


def remove_token(ctx: typer.Context, token_id: str, json_: JsonFlag = False) -> None:
    """Take a join token away; nodes that joined with it stay."""
    connect(ctx).join_tokens.delete(token_id)
    print_done({"removed": token_id}, f"{token_id} lets nobody join any more.", as_json=json_)


def join(
    ctx: typer.Context,
    address: Annotated[str | None, typer.Argument(help="HOST:PORT of the platform, from `aicp node token`.")] = None,
    token: Annotated[str | None, typer.Option(envvar="AICP_JOIN_TOKEN", help="The join token; once.")] = None,
    own: Annotated[
        str | None, typer.Option("--address", help="HOST[:PORT] by which others reach this machine; default: as seen.")
    ] = None,
    engine_port: Annotated[int, typer.Option(help="Port of this machine's engines; default: any free one.")] = 0,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once the node runs.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Make this machine a node of a platform, and run it; again without a token it goes on as the node it is."""
    data_dir = target_of(ctx).data_dir
    if address is not None:
        # in a file: neither a list of processes nor the environment of engines shows the token
        _keep_private(data_dir / "run" / "join.json", JoinWish(address, token or "", own or "", engine_port))
    command = [sys.executable, "-m", "aicp.main.server", "node", "--data-dir", str(data_dir)]
    if not detach:
        os.execv(command[0], command)
    if running_supervisor(data_dir) is None:
        _start_detached(data_dir, command)
    node = (data_dir / "agent" / "node.id").read_text().strip()
    print_done({"node": node}, "The node runs; `aicp node list` on the platform shows it.", as_json=json_)


def _keep_private(path: Path, wish: JoinWish) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(asdict(wish)))
    except OSError as error:
        raise InvalidError(
            f"{path} cannot be written ({error.strerror}).", hint="Name a directory of yours with --data-dir."
        ) from error


def _start_detached(data_dir: Path, command: list[str]) -> None:
    path = data_dir / "logs" / "node.log"
    process = start_supervisor(path, command)
    deadline = time.monotonic() + _JOIN_SECONDS
    while not ((data_dir / "agent" / "agent.sock").exists() and running_supervisor(data_dir) == process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            typer.echo(path.read_text().rstrip(), err=True)
            raise UnavailableError("The node did not start; its message is above.", hint=f"Logs are in {path.parent}.")
        time.sleep(0.05)


def leave(ctx: typer.Context, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Stop this machine's node and its engines, and forget the platform that it joined."""
    data_dir = target_of(ctx).data_dir
    state = data_dir / "run" / "node.json"
    if not state.exists():
        raise InvalidError(f"No node has joined a platform on {data_dir}.", hint="Name its directory with --data-dir.")
    if not yes:
        typer.confirm("Stop this node and its engines? To join again takes a new token.", abort=True)
    stop_platform(data_dir)
    state.unlink(missing_ok=True)
    for directory in ("authority", "ray"):
        shutil.rmtree(data_dir / "run" / directory, ignore_errors=True)
    shutil.rmtree(data_dir / "agent" / "replicas", ignore_errors=True)
    print_done({"left": True}, "Left. Remove the node on the platform with `aicp node rm`.", as_json=json_)
