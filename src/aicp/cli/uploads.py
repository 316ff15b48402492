"""`aicp upload`: files on their way to the platform."""

from __future__ import annotations

import typer

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.output import print_done, print_json, print_table
from aicp.core.quantity import format_bytes

app = typer.Typer(no_args_is_help=True, help="Folders sent with `aicp model import --upload`.")


@app.command("list")
def list_uploads(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """List your uploads."""
    uploads = connect(ctx).uploads.list()
    if json_:
        return print_json(uploads)
    print_table(
        uploads,
        [
            ("id", lambda u: u.id),
            ("state", lambda u: u.state),
            ("files", lambda u: u.files),
            ("arrived", lambda u: f"{format_bytes(u.received_bytes)} of {format_bytes(u.size_bytes)}"),
            ("expires", lambda u: u.expires_at),
        ],
        empty="No uploads.",
    )


@app.command()
def delete(ctx: typer.Context, upload: str, json_: JsonFlag = False) -> None:
    """Give an upload up."""
    connect(ctx).uploads.delete(upload)
    print_done({"removed": upload}, f"Removed upload {upload}.", as_json=json_)
