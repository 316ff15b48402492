"""`aicp logs`: what engines print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aicp.cli.connection import connect
from aicp.core.errors import InvalidError


def logs(
    ctx: typer.Context,
    service: Annotated[str | None, typer.Argument(help="Its newest replica's log, also when it is deleted.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[int, typer.Option(help="So many of the last lines.")] = 100,
    replica: Annotated[str | None, typer.Option(help="This replica; then the service need not be named.")] = None,
    member: Annotated[int, typer.Option(help="Of a replica that spans nodes; 0 leads.")] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
) -> None:
    """Show the log of a service's engine, also of a dead replica."""
    if service is None and replica is None:
        raise InvalidError("Whose log?", hint="Name a service, or a replica with --replica.")
    services = connect(ctx).services
    if service is None:
        lines = services.replica_log(replica or "", tail=tail, follow=follow, member=member)
    else:
        lines = services.log(service, tail=tail, follow=follow, replica=replica, member=member)
    if output is not None:
        output.write_text("".join(f"{line}\n" for line in lines))
        return
    for line in lines:
        typer.echo(line)
