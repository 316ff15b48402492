"""`aicp model`: import, look at and remove models."""

from __future__ import annotations

from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.imports import import_model, print_notes
from aicp.cli.output import Column, print_done, print_facts, print_json, print_table, text_of
from aicp.core.catalog import CatalogFit
from aicp.core.errors import InvalidError
from aicp.core.model import Model, ModelCreate, ModelType, ModelUpdate, ModelVersion, Visibility
from aicp.core.quantity import format_bytes

app = typer.Typer(no_args_is_help=True, help="Import, look at and remove models.")
app.command("import")(import_model)


@app.command("list")
def list_models(
    ctx: typer.Context,
    project: str | None = None,
    type_: Annotated[ModelType | None, typer.Option("--type")] = None,
    search: str | None = None,
    json_: JsonFlag = False,
) -> None:
    """List models."""
    models = connect(ctx).models.list(project=project, type=type_, search=search)
    if json_:
        return print_json(models)

    def latest(model: Model) -> str:
        return model.latest.version if model.latest else "-"

    def size(model: Model) -> str:
        return format_bytes(model.latest.size_bytes) if model.latest else "-"

    print_table(
        models,
        [
            ("name", lambda m: m.name),
            ("type", lambda m: m.type),
            ("latest", latest),
            ("size", size),
            ("context", lambda m: m.latest.context_length if m.latest else None),
            ("used by", lambda m: m.used_by),
        ],
        empty="No models yet. Import one with `aicp model import FOLDER`.",
    )


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    description: str = "",
    type_: Annotated[ModelType | None, typer.Option("--type", help="Found from the files when not given.")] = None,
    visibility: Visibility = Visibility.PUBLIC,
    project: str = "default",
    json_: JsonFlag = False,
) -> None:
    """Create a model without versions; `import` does so by itself."""
    body = ModelCreate(name=name, description=description, type=type_, visibility=visibility, project=project)
    print_done(connect(ctx).models.create(body), f"Created {name}.", as_json=json_)


@app.command()
def show(
    ctx: typer.Context,
    name: str,
    version: Annotated[str | None, typer.Option(help="One version (or alias) with its files.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Show a model and its versions, or one version."""
    client = connect(ctx)
    if version is not None:
        found = client.models.version(name, version)
        return print_json(found) if json_ else _print_version(found)
    model, versions = client.models.get(name), client.models.versions(name)
    if json_:
        return print_json(
            {**model.model_dump(mode="json"), "version_list": [v.model_dump(mode="json") for v in versions]}
        )
    print_facts(
        [
            ("name", model.name),
            ("type", model.type),
            ("project", f"{model.project} ({model.visibility})"),
            ("aliases", ", ".join(f"{alias} -> {version}" for alias, version in model.aliases.items())),
            ("used by", model.used_by),
        ]
    )
    print_table(
        versions,
        [
            ("version", lambda v: v.version),
            ("architecture", lambda v: v.architecture.name),
            ("parameters", lambda v: f"{v.parameters / 1e6:.1f} M" if v.parameters else None),
            ("dtype", lambda v: v.quantization or v.dtype),
            ("context", lambda v: v.context_length),
            ("size", lambda v: format_bytes(v.size_bytes)),
            ("digest", lambda v: v.digest[:12]),
        ],
        empty="No versions.",
    )


def _print_version(found: ModelVersion) -> None:
    print_facts(
        [
            ("version", f"{found.model}:{found.version}"),
            ("digest", found.digest),
            ("source", found.source),
            ("license", found.license),
            ("format", f"{found.format} {found.quantization or found.dtype or ''}"),
            ("context", found.context_length),
            ("imported", f"{text_of(found.created_at)} by {found.created_by or '-'}"),
        ]
    )
    columns: list[Column] = [
        ("file", lambda f: f.path),
        ("size", lambda f: format_bytes(f.size_bytes)),
        ("sha256", lambda f: f.sha256),
    ]
    print_table(found.files, columns, empty="No files.")
    print_notes(found)


@app.command()
def update(
    ctx: typer.Context,
    name: str,
    description: str | None = None,
    type_: Annotated[ModelType | None, typer.Option("--type")] = None,
    visibility: Visibility | None = None,
    json_: JsonFlag = False,
) -> None:
    """Change a model's description, type or visibility; its versions never change."""
    given = {"description": description, "type": type_, "visibility": visibility}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise InvalidError("Nothing to change was given.", hint="See `aicp model update --help`.")
    model = connect(ctx).models.update(name, ModelUpdate.model_validate(changes))
    print_done(model, f"Changed {name}.", as_json=json_)


@app.command()
def delete(
    ctx: typer.Context, name: str, version: str | None = None, yes: YesFlag = False, json_: JsonFlag = False
) -> None:
    """Remove a model, or one version of it."""
    what = f"version {version} of {name}" if version else f"{name} with all versions"
    if not yes:
        typer.confirm(f"Remove {what}?", abort=True)
    client = connect(ctx)
    if version:
        client.models.delete_version(name, version)
    else:
        client.models.delete(name)
    print_done({"removed": name, "version": version}, f"Removed {what}.", as_json=json_)


@app.command()
def alias(
    ctx: typer.Context,
    name: str,
    alias: str,
    version: Annotated[str | None, typer.Argument()] = None,
    json_: JsonFlag = False,
) -> None:
    """Point an alias at a version; without a version the alias is removed."""
    client = connect(ctx)
    if version is None:
        client.models.remove_alias(name, alias)
        sentence = f"Removed alias {alias}."
    else:
        client.models.set_alias(name, alias, version)
        sentence = f"{name}:{alias} is now {version}."
    print_done({"model": name, "alias": alias, "version": version}, sentence, as_json=json_)


@app.command()
def catalog(
    ctx: typer.Context,
    search: str | None = None,
    type_: Annotated[ModelType | None, typer.Option("--type")] = None,
    pool: Annotated[str, typer.Option(help="Whose accelerators each model is judged for.")] = "default",
    json_: JsonFlag = False,
) -> None:
    """List well-known models that can be imported by name, and whether the pool could serve them."""
    entries = connect(ctx).models.catalog(search=search, type=type_, pool=pool)
    if json_:
        return print_json(entries)
    print_table(
        entries,
        [
            ("name", lambda e: e.name),
            ("type", lambda e: e.type),
            ("parameters", lambda e: e.parameters),
            ("context", lambda e: e.context_length),
            ("license", lambda e: e.license),
            ("hugging face", lambda e: e.huggingface),
            ("runs on", lambda e: _runs_on(e.fit)),
        ],
        empty="The catalogue is empty.",
    )


def _runs_on(fit: CatalogFit | None) -> str:
    """`1 x 24 GiB, int4`, or that it needs more than the pool has."""
    if fit is None:
        return "-"
    if not fit.fits:
        return f"no: needs {format_bytes(fit.needed_bytes)}"
    where = "processor" if fit.vendor == "cpu" else f"{fit.accelerators} x {format_bytes(fit.largest_bytes or 0)}"
    return f"{where}, {fit.quantization}" if fit.quantization else where
