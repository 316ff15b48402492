"""`aicp kubernetes`: manifests of the platform for a Kubernetes cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aicp.cli.output import err
from aicp.core.errors import InvalidError
from aicp.core.registry import Registry
from aicp.runners.base import PlatformManifests, RendersManifests, RunnerDriver

app = typer.Typer(no_args_is_help=True, help="Run the platform in a Kubernetes cluster.")


@app.command()
def render(
    image: Annotated[str, typer.Option(help="Container image of the platform.")],
    namespace: Annotated[str, typer.Option(help="Namespace in which everything lies.")] = "aicp",
    output: Annotated[Path | None, typer.Option(help="File to write; default standard output.")] = None,
    engine_image: Annotated[
        list[str] | None, typer.Option(help="ENGINE[:VERSION[:VARIANT]]=IMAGE; may be repeated.")
    ] = None,
    scheduler: Annotated[str, typer.Option(help="What cuts cards: none, hami or volcano.")] = "none",
    models: Annotated[str, typer.Option(help="claim:NAME, or node:/directory of each node.")] = "claim:aicp-models",
    storage_class: Annotated[str | None, typer.Option(help="Of the claims; default the cluster's own.")] = None,
    data_size: Annotated[str, typer.Option(help="Of the platform's own data.")] = "50Gi",
    models_size: Annotated[str, typer.Option(help="Of the claim for models.")] = "500Gi",
    token_secret: Annotated[
        str, typer.Option(help="Secret whose key `token` is the internal token.")
    ] = "aicp-internal",
    tls_secret: Annotated[str | None, typer.Option(help="Secret of type kubernetes.io/tls; turns TLS on.")] = None,
) -> None:
    """Write plain manifests of the platform: the same options give the same text. No secret is in them."""
    driver = Registry[RunnerDriver]("aicp.runners").get("kubernetes")
    assert isinstance(driver, RendersManifests)
    text = driver.render(
        PlatformManifests(
            namespace=namespace,
            image=image,
            token_secret=token_secret,
            tls_secret=tls_secret,
            storage_class=storage_class,
            data_size=data_size,
            models_size=models_size,
            models=models,
            scheduler=scheduler,
            images=tuple(engine_image or ()),
        )
    )
    if output is None:
        return typer.echo(text, nl=False)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidError(f"{output} cannot be written ({error.strerror}).", hint="Name another --output.") from error
    err.print(f"Written to {output}; apply it with: kubectl apply -f {output}", markup=False)
    return None
