"""`aicp route` and `aicp provider`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.output import print_done, print_facts, print_json, print_table
from aicp.core.errors import InvalidError
from aicp.core.model import Visibility
from aicp.core.provider import DEFAULT_ENDPOINTS, ProviderCreate, ProviderEndpoint, ProviderUpdate
from aicp.core.public_route import Arm, Destination, Route, RouteCreate, RouteUpdate, Sticky

app = typer.Typer(no_args_is_help=True, help="Public names that lead to several destinations.")
provider_app = typer.Typer(no_args_is_help=True, help="Outside providers that routes may lead to.")

_TO = "SERVICE or PROVIDER:MODEL, with =WEIGHT after it (default 1); repeat for several."
_FALLBACK = "SERVICE or PROVIDER:MODEL, tried in the order given where none of --to answers; repeat for several."
_CREDENTIAL = "What the provider wants as bearer token; - asks for it, so that it stands in no history."
ToOption = Annotated[list[str], typer.Option("--to", help=_TO)]
FallbackOption = Annotated[list[str] | None, typer.Option("--fallback", help=_FALLBACK)]
CredentialOption = Annotated[str | None, typer.Option(envvar="AICP_PROVIDER_CREDENTIAL", help=_CREDENTIAL)]
EndpointOption = Annotated[
    list[ProviderEndpoint] | None, typer.Option("--endpoint", help="What it serves; repeat for several.")
]


@app.command("list")
def list_routes(
    ctx: typer.Context, project: str | None = None, search: str | None = None, json_: JsonFlag = False
) -> None:
    """List routes; a service needs none to be reached by its own name."""
    routes = connect(ctx).routes.list(project=project, search=search)
    if json_:
        return print_json(routes)
    print_table(
        routes,
        [
            ("name", lambda r: r.name),
            ("project", lambda r: r.project),
            ("visibility", lambda r: r.visibility.value),
            ("to", lambda r: arms_text(r)),
            ("fallbacks", lambda r: [end.label for end in r.fallbacks]),
            ("ready", lambda r: f"{len(r.ready)}/{len({end.label for end in r.destinations})}"),
        ],
        empty="No routes. Every service is reached by its own name.",
    )


@app.command("show")
def show_route(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Show a route and which of its destinations could answer now."""
    route = connect(ctx).routes.get(name)
    if json_:
        return print_json(route)
    print_facts(
        [
            ("name", route.name),
            ("project", route.project),
            ("visibility", route.visibility.value),
            ("description", route.description),
            ("to", arms_text(route)),
            ("fallbacks", [end.label for end in route.fallbacks]),
            ("sticky", route.sticky.value),
            ("ready", route.ready),
            ("created", route.created_at),
        ]
    )


@app.command("create")
def create_route(
    ctx: typer.Context,
    name: str,
    to: ToOption,
    fallback: FallbackOption = None,
    sticky: Annotated[Sticky, typer.Option(help="What stays at one destination.")] = Sticky.SESSION,
    project: str = "default",
    visibility: Annotated[Visibility, typer.Option(help="Who may use it.")] = Visibility.PUBLIC,
    description: str = "",
    json_: JsonFlag = False,
) -> None:
    """Make a public name that leads to several destinations."""
    body = RouteCreate(
        name=name,
        project=project,
        visibility=visibility,
        description=description,
        arms=[parse_arm(text) for text in to],
        fallbacks=[parse_end(text) for text in fallback or []],
        sticky=sticky,
    )
    route = connect(ctx).routes.create(body)
    print_done(route, f"{name} leads to {', '.join(arms_text(route))}.", as_json=json_)


@app.command("update")
def update_route(
    ctx: typer.Context,
    name: str,
    to: Annotated[list[str] | None, typer.Option("--to", help=f"All of them anew. {_TO}")] = None,
    fallback: Annotated[list[str] | None, typer.Option("--fallback", help=f"All of them anew. {_FALLBACK}")] = None,
    no_fallback: Annotated[bool, typer.Option("--no-fallback", help="Take every fallback away.")] = False,
    sticky: Annotated[Sticky | None, typer.Option(help="What stays at one destination.")] = None,
    visibility: Annotated[Visibility | None, typer.Option(help="Who may use it.")] = None,
    description: Annotated[str | None, typer.Option(help="What people read about it; '' clears it.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Change weights, destinations or fallbacks; gateways follow within a second."""
    if fallback and no_fallback:
        raise InvalidError("--fallback and --no-fallback exclude each other.")
    changes: dict[str, Any] = {"sticky": sticky, "visibility": visibility, "description": description}
    changes["arms"] = [parse_arm(text) for text in to] if to else None
    changes["fallbacks"] = [parse_end(text) for text in fallback or []] if fallback or no_fallback else None
    given = {field: value for field, value in changes.items() if value is not None}
    if not given:
        raise InvalidError("Nothing to change was given.", hint="See `aicp route update --help`.")
    route = connect(ctx).routes.update(name, RouteUpdate.model_validate(given))
    print_done(route, f"{name} leads to {', '.join(arms_text(route))}.", as_json=json_)


@app.command("delete")
def delete_route(ctx: typer.Context, name: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Remove a route; its destinations stay."""
    if not yes:
        typer.confirm(f"Remove route {name}?", abort=True)
    connect(ctx).routes.delete(name)
    print_done({"removed": name}, f"Removed {name}.", as_json=json_)


@provider_app.command("list")
def list_providers(ctx: typer.Context, search: str | None = None, json_: JsonFlag = False) -> None:
    """List outside providers."""
    providers = connect(ctx).providers.list(search=search)
    if json_:
        return print_json(providers)
    print_table(
        providers,
        [
            ("name", lambda p: p.name),
            ("address", lambda p: p.base_url),
            ("models", lambda p: p.models),
            ("credential", lambda p: p.has_credential),
        ],
        empty="No providers.",
    )


@provider_app.command("show")
def show_provider(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Show a provider; its credential is never shown."""
    provider = connect(ctx).providers.get(name)
    if json_:
        return print_json(provider)
    print_facts(
        [
            ("name", provider.name),
            ("description", provider.description),
            ("address", provider.base_url),
            ("models", provider.models),
            ("endpoints", [endpoint.value for endpoint in provider.endpoints]),
            ("credential", provider.has_credential),
            ("created", provider.created_at),
        ]
    )


@provider_app.command("create")
def create_provider(
    ctx: typer.Context,
    name: str,
    base_url: Annotated[str, typer.Option(help="What stands before /chat/completions: https://host/v1.")],
    model: Annotated[list[str], typer.Option("--model", help="What it calls a model; repeat for several.")],
    credential: CredentialOption = None,
    endpoint: EndpointOption = None,
    description: str = "",
    json_: JsonFlag = False,
) -> None:
    """Add an OpenAI-compatible provider."""
    fields: dict[str, Any] = {"name": name, "base_url": base_url, "models": model, "description": description}
    fields |= {"credential": _asked(credential), "endpoints": endpoint or DEFAULT_ENDPOINTS}
    provider = connect(ctx).providers.create(_checked(ProviderCreate, fields))
    print_done(provider, f"Added provider {name}.", as_json=json_)


@provider_app.command("update")
def update_provider(
    ctx: typer.Context,
    name: str,
    base_url: Annotated[str | None, typer.Option(help="Another host needs the credential anew.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="All of them anew; repeat for several.")] = None,
    credential: CredentialOption = None,
    no_credential: Annotated[bool, typer.Option("--no-credential", help="Forget the credential.")] = False,
    endpoint: EndpointOption = None,
    description: Annotated[str | None, typer.Option(help="What people read about it; '' clears it.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Change a provider."""
    changes: dict[str, Any] = {"base_url": base_url, "models": model, "endpoints": endpoint, "description": description}
    given = {field: value for field, value in changes.items() if value is not None}
    if credential is not None or no_credential:
        given["credential"] = None if no_credential else _asked(credential)
    if not given:
        raise InvalidError("Nothing to change was given.", hint="See `aicp provider update --help`.")
    provider = connect(ctx).providers.update(name, _checked(ProviderUpdate, given))
    print_done(provider, f"Changed {name}.", as_json=json_)


@provider_app.command("delete")
def delete_provider(ctx: typer.Context, name: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Remove a provider that no route leads to, and its credential."""
    if not yes:
        typer.confirm(f"Remove provider {name}?", abort=True)
    connect(ctx).providers.delete(name)
    print_done({"removed": name}, f"Removed {name}.", as_json=json_)


def arms_text(route: Route) -> list[str]:
    """The arms as `--to` takes them."""
    return [f"{arm.label}={arm.weight}" for arm in route.arms]


def parse_arm(text: str) -> Arm:
    """What `--to` says. Raises InvalidError."""
    name, _, weight = text.rpartition("=")
    if not name or not weight.isdigit():
        name, weight = text, "1"
    return _checked(Arm, {**parse_end(name).model_dump(), "weight": int(weight)})


def parse_end(text: str) -> Destination:
    """What `--fallback` says. Raises InvalidError."""
    provider, colon, model = text.partition(":")
    return _checked(Destination, {"provider": provider, "model": model} if colon else {"service": text})


def _checked(kind: Any, fields: dict[str, Any]) -> Any:
    """A value of a kind; InvalidError without the given value, which may be a credential."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def _asked(credential: str | None) -> str | None:
    if credential != "-":
        return credential
    return typer.prompt("Credential", hide_input=sys.stdin.isatty())
