"""The command `aicp`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from click.core import ParameterSource

from aicp import __version__
from aicp.cli import (
    accelerators,
    advice,
    batches,
    cache_rules,
    chat,
    declarations,
    files,
    gateway,
    identity,
    jobs,
    joining,
    keys,
    kubernetes,
    listeners,
    logs,
    models,
    node_changes,
    nodes,
    platform,
    pool_changes,
    pools,
    prices,
    publish,
    quickstart,
    records,
    requests,
    routes,
    services,
    traffic,
    uploads,
)
from aicp.cli.connection import Target
from aicp.cli.output import exit_code, print_error
from aicp.core.errors import AicpError

app = typer.Typer(
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="aicp: pool accelerators, publish models, govern who calls them.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    url: Annotated[str | None, typer.Option(envvar="AICP_URL", help="Address of another platform.")] = None,
    token: Annotated[str | None, typer.Option(envvar="AICP_TOKEN", help="Session token.")] = None,
    data_dir: Annotated[
        Path, typer.Option(envvar="AICP_DATA_DIR", help="Data of the platform on this machine.")
    ] = Path("~/.aicp"),
    port: Annotated[int | None, typer.Option(envvar="AICP_PORT", help="Its console and REST port.")] = None,
    ca: Annotated[
        Path | None, typer.Option(envvar="AICP_CA", help="PEM file of the authority or certificate to believe.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Options that hold for every command."""
    ca = ca.expanduser().absolute() if ca else None
    token_from = "AICP_TOKEN" if ctx.get_parameter_source("token") == ParameterSource.ENVIRONMENT else "--token"
    data_dir = data_dir.expanduser().absolute()
    ctx.obj = Target(url=url, token=token, data_dir=data_dir, port=port, ca=ca, token_from=token_from)


for command in (platform.up, platform.down, platform.status, publish.publish, logs.logs, chat.chat):
    app.command()(command)
for command in (records.usage, records.audit, records.events, records.metrics, records.overview, traffic.traffic):
    app.command()(command)
for command in (declarations.apply, declarations.export, identity.login, identity.logout):
    app.command()(command)
app.add_typer(models.app, name="model")
app.add_typer(uploads.app, name="upload")
app.add_typer(services.app, name="service")
app.add_typer(routes.app, name="route")
app.add_typer(routes.provider_app, name="provider")
keys.app.command("use")(traffic.key_use)
app.add_typer(keys.app, name="key")
app.add_typer(gateway.app, name="gateway")
app.add_typer(kubernetes.app, name="kubernetes")
app.add_typer(listeners.app, name="listener")
app.add_typer(listeners.port_app, name="port")
app.add_typer(prices.app, name="price")
app.add_typer(cache_rules.app, name="cache")
app.add_typer(requests.app, name="request")
app.add_typer(requests.log_app, name="request-log")
app.add_typer(jobs.app, name="job")
app.add_typer(batches.app, name="batch")
app.add_typer(files.app, name="file")
node_changes.add_to(nodes.app)
joining.add_to(nodes.app)
app.add_typer(nodes.app, name="node")
pools.app.command()(advice.advise)
pools.app.command()(pool_changes.defragment)
app.add_typer(pools.app, name="pool")
app.add_typer(pool_changes.app, name="reservation")
app.add_typer(accelerators.app, name="accelerator")
app.add_typer(nodes.engine_app, name="engine")
app.add_typer(identity.project_app, name="project")
app.add_typer(identity.user_app, name="user")
app.add_typer(quickstart.app, name="quickstart")


def main() -> None:
    """Entry point: errors in words, exit codes 0 done, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 unreachable."""
    try:
        app()
    except AicpError as error:
        print_error(error)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
