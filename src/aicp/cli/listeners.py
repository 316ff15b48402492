"""`aicp listener` and `aicp port`: addresses of single models, and who has which port."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.output import print_done, print_json, print_table
from aicp.core.errors import InvalidError
from aicp.core.listener import ListenerSet, Port

app = typer.Typer(no_args_is_help=True, help="Addresses of single models: list, set and delete listeners.")
port_app = typer.Typer(no_args_is_help=True, help="Ports that are used and reserved.")


@app.command("list")
def list_listeners(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """List listeners; every model is at the gateway's own address besides."""
    found = connect(ctx).listeners.list()
    if json_:
        return print_json(found)
    print_table(
        found,
        [
            ("model", lambda one: one.model),
            ("address", lambda one: one.address),
            ("port", lambda one: one.port),
            ("certificate", lambda one: one.tls_certificate),
            ("state", lambda one: one.state.value),
            ("reason", lambda one: one.reason),
        ],
        empty="No listeners. Give a model an address of its own with `aicp listener set MODEL --port 9000`.",
    )


@app.command("set")
def set_listener(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Public name of a service or route.")],
    port: Annotated[int, typer.Option(help="Port that nobody has; see `aicp port list`.")],
    address: Annotated[str, typer.Option(help="IP address of the gateway's machine; 0.0.0.0: all.")] = "127.0.0.1",
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file there of the certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file there of its private key.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Serve a model at an address of its own, where requests need not name it; same keys and limits."""
    files = {"tls_certificate": tls_certificate, "tls_key": tls_key}
    given = {name: str(path.expanduser().absolute()) for name, path in files.items() if path is not None}
    try:
        wanted = ListenerSet.model_validate({"address": address, "port": port, **given})
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidError(f"{'.'.join(map(str, first['loc'])) or 'listener'}: {first['msg']}.") from error
    listener = connect(ctx).listeners.set(model, wanted)
    scheme = "https" if listener.tls_certificate else "http"
    host = f"[{listener.address}]" if ":" in listener.address else listener.address
    print_done(listener, f"{model} will be served at {scheme}://{host}:{listener.port}/v1.", as_json=json_)


@app.command("delete")
def delete_listener(ctx: typer.Context, model: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Take a model's own address away; requests in flight there end as they would."""
    if not yes:
        typer.confirm(f"Close the listener of {model}? Applications that use it no longer reach the model.", abort=True)
    connect(ctx).listeners.delete(model)
    print_done({"removed": model}, f"{model} has no listener any more.", as_json=json_)


@port_app.command("list")
def list_ports(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """List ports that the platform uses or that are reserved."""
    found = connect(ctx).listeners.ports()
    if json_:
        return print_json(found)
    print_table(
        found,
        [
            ("port", _numbers),
            ("address", lambda one: one.address),
            ("use", lambda one: one.use.value),
            ("of", lambda one: one.holder),
        ],
        empty="No ports.",
    )


def _numbers(port: Port) -> str:
    return str(port.first) if port.first == port.last else f"{port.first}-{port.last}"
