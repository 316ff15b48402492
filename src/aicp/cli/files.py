"""`aicp file`: what batches read and what they wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.output import print_done, print_facts, print_json, print_table
from aicp.core.file import FilePurpose
from aicp.core.quantity import format_bytes

app = typer.Typer(no_args_is_help=True, help="Files of projects, which batches read and write.")
LifeOption = Annotated[
    int | None, typer.Option(min=3600, max=2_592_000, help="Seconds after which it is removed; else never.")
]


@app.command()
def create(
    ctx: typer.Context,
    path: Path,
    project: str = "default",
    filename: Annotated[str | None, typer.Option(help="Another name than the file has here.")] = None,
    life_seconds: LifeOption = None,
    json_: JsonFlag = False,
) -> None:
    """Send a file, the input of batches."""
    file = connect(ctx).files.send(path, project=project, filename=filename, life_seconds=life_seconds)
    print_done(file, f"File {file.id}: {format_bytes(file.size_bytes)}.", as_json=json_)


@app.command("list")
@app.command("ls", hidden=True)
def list_files(
    ctx: typer.Context,
    project: str | None = None,
    purpose: FilePurpose | None = None,
    search: Annotated[str | None, typer.Option(help="A part of the name.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List files, newest first."""
    files = connect(ctx).files.list(project=project, purpose=purpose, search=search)
    if json_:
        return print_json(files)
    print_table(
        files,
        [
            ("id", lambda f: f.id),
            ("name", lambda f: f.filename),
            ("project", lambda f: f.project),
            ("purpose", lambda f: f.purpose),
            ("size", lambda f: format_bytes(f.size_bytes)),
            ("created", lambda f: f.created_at),
            ("expires", lambda f: f.expires_at),
        ],
        empty="No files yet. `aicp batch create FILE` sends one.",
    )


@app.command()
def show(ctx: typer.Context, file_id: str, json_: JsonFlag = False) -> None:
    """Show what is known of a file."""
    file = connect(ctx).files.get(file_id)
    if json_:
        return print_json(file)
    print_facts(
        [
            ("name", file.filename),
            ("project", file.project),
            ("purpose", file.purpose),
            ("size", format_bytes(file.size_bytes)),
            ("created by", file.created_by),
            ("created", file.created_at),
            ("expires", file.expires_at),
        ]
    )


@app.command()
def content(
    ctx: typer.Context,
    file_id: str,
    to: Annotated[Path | None, typer.Option(help="Where to write it; else standard output.")] = None,
) -> None:
    """Write the bytes of a file."""
    write_bytes(connect(ctx).files.content(file_id), to)


@app.command()
@app.command("rm", hidden=True)
def delete(ctx: typer.Context, file_id: str, json_: JsonFlag = False) -> None:
    """Remove a file that no batch reads any more."""
    connect(ctx).files.delete(file_id)
    print_done({"removed": file_id}, f"Removed file {file_id}.", as_json=json_)


def write_bytes(data: bytes, to: Path | None) -> None:
    """To a file of this machine, or to standard output as they are."""
    if to is not None:
        to.write_bytes(data)
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
