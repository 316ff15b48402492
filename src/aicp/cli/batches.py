"""`aicp batch`: many requests in one file, worked off behind everybody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.files import write_bytes
from aicp.cli.output import print_done, print_facts, print_json, print_table
from aicp.client.rest import Client
from aicp.core.batch import Batch, BatchEndpoint, BatchState
from aicp.core.errors import InvalidError, NotFoundError

app = typer.Typer(no_args_is_help=True, help="Run many requests from a file, behind everybody else's.")


@app.command()
def create(
    ctx: typer.Context,
    input_file: Annotated[str, typer.Argument(help="File of JSON lines, or the id of one that was sent before.")],
    key: Annotated[str, typer.Option(help="Id or name of the key that its requests are counted to.")],
    project: Annotated[str, typer.Option(help="Where the file is sent to, and where the key is.")] = "default",
    endpoint: BatchEndpoint = BatchEndpoint.CHAT,
    completion_window: Annotated[str, typer.Option(help="How long it may take: 24h, 90m or 7d.")] = "24h",
    metadata: Annotated[list[str] | None, typer.Option(help="name=text of your own; repeat for several.")] = None,
    output_seconds: Annotated[
        int | None, typer.Option(min=3600, max=2_592_000, help="Life of the output files; else for ever.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Order a batch: sends the file and lets its requests run."""
    client = connect(ctx)
    key_id = _key_id(client, project, key)
    path = Path(input_file)
    file_id = client.files.send(path, project=project).id if path.is_file() else input_file
    batch = client.batches.create(
        file_id,
        key_id,
        endpoint=endpoint,
        completion_window=completion_window,
        metadata=_metadata(metadata or []),
        output_seconds=output_seconds,
    )
    print_done(batch, f"Batch {batch.id}; `aicp batch show {batch.id}` says how far it is.", as_json=json_)


@app.command("list")
@app.command("ls", hidden=True)
def list_batches(
    ctx: typer.Context,
    project: str | None = None,
    state: BatchState | None = None,
    search: Annotated[str | None, typer.Option(help="A part of the model's name, or an id.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List batches, newest first."""
    batches = connect(ctx).batches.list(project=project, state=state, search=search)
    if json_:
        return print_json(batches)
    print_table(
        batches,
        [
            ("id", lambda b: b.id),
            ("model", lambda b: b.model),
            ("state", lambda b: b.state),
            ("progress", _progress),
            ("project", lambda b: b.project),
            ("created", lambda b: b.created_at),
        ],
        empty="No batches yet. `aicp batch create FILE --key KEY` orders one.",
    )


@app.command()
def show(ctx: typer.Context, batch_id: str, json_: JsonFlag = False) -> None:
    """Show a batch: how far it is, and what is wrong with it."""
    batch = connect(ctx).batches.get(batch_id)
    if json_:
        return print_json(batch)
    print_facts(
        [
            ("state", batch.state),
            ("progress", _progress(batch)),
            ("waits for", batch.waits_for),
            ("problems", [_problem_words(problem.line, problem.message) for problem in batch.problems]),
            ("endpoint", batch.endpoint),
            ("model", batch.model),
            ("key", batch.api_key_id),
            ("input", batch.input_file_id),
            ("output", batch.output_file_id),
            ("errors", batch.error_file_id),
            ("metadata", [f"{name}={text}" for name, text in batch.metadata.items()]),
            ("created", batch.created_at),
            ("expires", batch.expires_at),
        ]
    )


@app.command()
def cancel(ctx: typer.Context, batch_id: str, json_: JsonFlag = False) -> None:
    """Cancel a batch; what was answered is kept."""
    print_done(connect(ctx).batches.cancel(batch_id), f"Asked {batch_id} to stop.", as_json=json_)


@app.command()
def results(
    ctx: typer.Context,
    batch_id: str,
    errors: Annotated[bool, typer.Option("--errors", help="The lines that ended in an error instead.")] = False,
    to: Annotated[Path | None, typer.Option(help="Where to write them; else standard output.")] = None,
) -> None:
    """Write the result lines of a batch that has ended."""
    client = connect(ctx)
    batch = client.batches.get(batch_id)
    file_id = batch.error_file_id if errors else batch.output_file_id
    if file_id is None:
        what = "error" if errors else "answer"
        raise NotFoundError(
            f"Batch {batch_id} is {batch.state} and has no file of {what}s.",
            hint=f"`aicp batch show {batch_id}` says how far it is.",
        )
    write_bytes(client.files.content(file_id), to)


def _progress(batch: Batch) -> str:
    counts = batch.counts
    failed = f", {counts.failed:,} failed" if counts.failed else ""
    return f"{counts.completed + counts.failed:,} of {counts.total:,}{failed}"


def _problem_words(line: int | None, message: str) -> str:
    return message if line is None else f"line {line}: {message}"


def _key_id(client: Client, project: str, wanted: str) -> str:
    live = [key for key in client.keys.list(project=project) if key.revoked_at is None]
    found = [key.id for key in live if wanted in (key.id, key.name)]
    if len(found) != 1:
        how_many = f"{len(found)} live keys" if found else "no live key"
        raise InvalidError(
            f"Project {project!r} has {how_many} named {wanted!r}.", hint="`aicp key list` shows names and ids."
        )
    return found[0]


def _metadata(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    wrong = next((name for name, sign, _ in pairs if not name or not sign), None)
    if wrong is not None:
        raise InvalidError(f"--metadata {wrong!r} is not of the form name=text.")
    return {name: text for name, _, text in pairs}
