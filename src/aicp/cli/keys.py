"""`aicp key`: credentials of applications."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.output import err, print_done, print_facts, print_json, print_table, text_of
from aicp.core.api_key import ApiKeyUpdate, KeyState
from aicp.core.errors import InvalidError

app = typer.Typer(no_args_is_help=True, help="Create, list, change and revoke API keys.")


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
def list_keys(
    ctx: typer.Context,
    project: str | None = None,
    state: KeyState | None = None,
    model: Annotated[str | None, typer.Option(help="Only keys limited to this name, or to it and others.")] = None,
    search: Annotated[str | None, typer.Option(help="A part of the name.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List keys."""
    keys = connect(ctx).keys.list(project=project, state=state, model=model, search=search)
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
def show(ctx: typer.Context, key_id: str, json_: JsonFlag = False) -> None:
    """Show a key; its secret is kept nowhere."""
    key = connect(ctx).keys.get(key_id)
    if json_:
        return print_json(key)
    print_facts(
        [
            ("name", key.name),
            ("prefix", key.prefix),
            ("project", key.project),
            ("models", "all" if key.models is None else key.models),
            ("expires", key.expires_at),
            ("revoked", key.revoked_at),
            ("last used", key.last_used_at),
            ("created", f"{text_of(key.created_at)} by {key.created_by or '-'}"),
        ]
    )


@app.command()
def update(
    ctx: typer.Context,
    key_id: str,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Another name.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Allowed public name; repeat for several.")] = None,
    all_models: Annotated[bool, typer.Option("--all-models", help="Allow every model of its project.")] = False,
    expires: Annotated[datetime | None, typer.Option(help="End of validity, local time.")] = None,
    no_expiry: Annotated[bool, typer.Option("--no-expiry", help="Valid until it is revoked.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Change a key's name, allowed models or expiry; its secret stays."""
    if model and all_models:
        raise InvalidError("--model and --all-models exclude each other.")
    if expires and no_expiry:
        raise InvalidError("--expires and --no-expiry exclude each other.")
    given: dict[str, Any] = {"name": name, "expires_at": expires.astimezone() if expires else None, "models": model}
    changes = {field: value for field, value in given.items() if value is not None}
    if all_models:
        changes["models"] = None
    if no_expiry:
        changes["expires_at"] = None
    if not changes:
        raise InvalidError("Nothing to change was given.", hint="See `aicp key update --help`.")
    key = connect(ctx).keys.update(key_id, ApiKeyUpdate.model_validate(changes))
    print_done(key, f"Changed {key.name}.", as_json=json_)


@app.command()
def revoke(ctx: typer.Context, key_id: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Revoke a key for good; the gateway refuses it within a second."""
    if not yes:
        typer.confirm(f"Revoke {key_id}? Applications that use it stop working.", abort=True)
    connect(ctx).keys.revoke(key_id)
    print_done({"revoked": key_id}, f"Revoked {key_id}.", as_json=json_)
