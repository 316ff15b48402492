"""`aicp key`: credentials of applications."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.limits import DEFAULT_HELP, LIMIT_HELP, changed_defaults, changed_limits, limits_text
from aicp.cli.output import err, print_done, print_facts, print_json, print_table, text_of
from aicp.core.api_key import ApiKeyCreated, ApiKeyUpdate, Defaults, KeyState
from aicp.core.errors import InvalidError
from aicp.core.limits import Limits, Priority

LimitOption = Annotated[list[str] | None, typer.Option("--limit", help=LIMIT_HELP)]
NetworkOption = Annotated[
    list[str] | None, typer.Option("--network", help="Network it may be used from, as CIDR; repeat for several.")
]
MostOption = Annotated[
    int | None,
    typer.Option("--max-output-tokens", min=1, help="Most output tokens of a request; set where it names none."),
]
TagOption = Annotated[
    list[str] | None, typer.Option("--tag", help="A word or NAME=VALUE to find it by; repeat for several.")
]
DefaultOption = Annotated[list[str] | None, typer.Option("--default", help=DEFAULT_HELP)]
app = typer.Typer(no_args_is_help=True, help="Create, list, change and revoke API keys.")


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    project: str = "default",
    model: Annotated[list[str] | None, typer.Option("--model", help="Allowed public name; repeat for several.")] = None,
    expires: Annotated[datetime | None, typer.Option(help="End of validity, local time.")] = None,
    limit: LimitOption = None,
    priority: Annotated[Priority, typer.Option(help="Its class when replicas are busy.")] = Priority.DEFAULT,
    weight: Annotated[float, typer.Option(help="Its share among keys of that class.")] = 1.0,
    network: NetworkOption = None,
    max_output_tokens: MostOption = None,
    default: DefaultOption = None,
    tag: TagOption = None,
    json_: JsonFlag = False,
) -> None:
    """Create a key; its secret is shown once."""
    created = connect(ctx).keys.create(
        name,
        project=project,
        models=model,
        expires_at=expires.astimezone() if expires else None,
        limits=changed_limits(Limits(), limit or []),
        priority=priority,
        weight=weight,
        networks=network,
        max_output_tokens=max_output_tokens,
        defaults=changed_defaults(Defaults(), default or []),
        tags=tag or [],
    )
    _show_secret(created, json_)


def _show_secret(created: ApiKeyCreated, json_: bool) -> None:
    if json_:
        return print_json(created)
    # The secret alone on standard output, so that it can be captured.
    err.print(f"Key {created.key.id} ({created.key.name}); it is shown this once:", markup=False)
    typer.echo(created.secret)


@app.command("list")
def list_keys(
    ctx: typer.Context,
    project: str | None = None,
    state: KeyState | None = None,
    model: Annotated[str | None, typer.Option(help="Only keys limited to this name, or to it and others.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only keys that have this tag.")] = None,
    search: Annotated[str | None, typer.Option(help="A part of the name.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List keys."""
    keys = connect(ctx).keys.list(project=project, state=state, model=model, tag=tag, search=search)
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
            ("tags", lambda k: k.tags),
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
            ("limits", limits_text(key.limits)),
            ("priority", f"{key.priority.value}, weight {key.weight:g}"),
            ("networks", "any" if key.networks is None else key.networks),
            ("most output tokens", key.max_output_tokens),
            ("default parameters", limits_text(key.defaults)),
            ("tags", key.tags),
            ("rotated", key.rotated_at),
            ("old secret until", key.previous_until),
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
    limit: LimitOption = None,
    priority: Annotated[Priority | None, typer.Option(help="Its class when replicas are busy.")] = None,
    weight: Annotated[float | None, typer.Option(help="Its share among keys of that class.")] = None,
    network: NetworkOption = None,
    max_output_tokens: MostOption = None,
    any_output: Annotated[bool, typer.Option("--any-output", help="No maximum of output tokens.")] = False,
    default: DefaultOption = None,
    tag: TagOption = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")] = False,
    any_network: Annotated[bool, typer.Option("--any-network", help="Usable from anywhere.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Change a key's name, allowed models, expiry, limits, priority, networks or tags; its secret stays."""
    if model and all_models:
        raise InvalidError("--model and --all-models exclude each other.")
    if expires and no_expiry:
        raise InvalidError("--expires and --no-expiry exclude each other.")
    if tag and no_tags:
        raise InvalidError("--tag and --no-tags exclude each other.")
    if network and any_network:
        raise InvalidError("--network and --any-network exclude each other.")
    given: dict[str, Any] = {
        "name": name,
        "expires_at": expires.astimezone() if expires else None,
        "models": model,
        "priority": priority,
        "weight": weight,
        "networks": network,
        "max_output_tokens": max_output_tokens,
        "tags": tag,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    lifted = {
        "models": all_models,
        "expires_at": no_expiry,
        "networks": any_network,
        "max_output_tokens": any_output,
        "tags": no_tags,
    }
    changes |= {field: None for field, lifts in lifted.items() if lifts}
    if not changes and not limit and not default:
        raise InvalidError("Nothing to change was given.", hint="See `aicp key update --help`.")
    keys = connect(ctx).keys
    if limit:
        changes["limits"] = changed_limits(keys.get(key_id).limits, limit)
    if default:
        changes["defaults"] = changed_defaults(keys.get(key_id).defaults, default)
    key = keys.update(key_id, ApiKeyUpdate.model_validate(changes))
    print_done(key, f"Changed {key.name}.", as_json=json_)


@app.command()
def rotate(
    ctx: typer.Context,
    key_id: str,
    overlap_seconds: Annotated[int, typer.Option(help="The old secret is taken for so long; 0 ends it now.")] = 86_400,
    json_: JsonFlag = False,
) -> None:
    """Give a key another secret, shown once; the old one goes on for a while."""
    _show_secret(connect(ctx).keys.rotate(key_id, overlap_seconds=overlap_seconds), json_)


@app.command()
def revoke(ctx: typer.Context, key_id: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Revoke a key for good; the gateway refuses it within a second."""
    if not yes:
        typer.confirm(f"Revoke {key_id}? Applications that use it stop working.", abort=True)
    connect(ctx).keys.revoke(key_id)
    print_done({"revoked": key_id}, f"Revoked {key_id}.", as_json=json_)
