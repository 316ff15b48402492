"""`aicp key`: credentials of applications."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.output import err, out, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    project: str = "default",
    model: Annotated[list[str] | None, typer.Option("--model", help="Allowed public name; repeat for several.")] = None,
    expires: Annotated[datetime | None, typer.Option(help="End of validity, local time.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Create a key; its secret is shown once."""
    expires_at = expires.astimezone() if expires else None
    created = connect(ctx).keys.create(name, project=project, models=model, expires_at=expires_at)
    if json_:
        return print_json(created)
    # The secret alone on standard output, so that it can be captured.
    err.print(f"Key {created.key.id} ({name}); it is shown this once:", markup=False)
    typer.echo(created.secret)


@app.command("list")
def list_keys(ctx: typer.Context, project: str | None = None, json_: JsonFlag = False) -> None:
    """List keys."""
    keys = connect(ctx).keys.list(project=project)
    if json_:
        return print_json(keys)
    print_table(
        keys,
        [
            ("id", lambda k: k.id),
            ("name", lambda k: k.name),
            ("prefix", lambda k: k.prefix),
            ("project", lambda k: k.project),
            ("models", lambda k: "all" if k.models is None else k.models),
            ("state", lambda k: "revoked" if k.revoked_at else "live"),
            ("expires", lambda k: k.expires_at),
            ("last used", lambda k: k.last_used_at),
        ],
        empty="No keys yet. Create one with `aicp key create NAME`.",
    )


@app.command()
def revoke(ctx: typer.Context, key_id: str, yes: YesFlag = False) -> None:
    """Revoke a key for good; the gateway refuses it within a second."""
    if not yes:
        typer.confirm(f"Revoke {key_id}? Applications that use it stop working.", abort=True)
    connect(ctx).keys.revoke(key_id)
    out.print(f"Revoked {key_id}.")
