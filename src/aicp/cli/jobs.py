"""`aicp job`: imports, upload checks and engine installs."""

from __future__ import annotations

from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.output import print_done, print_facts, print_json, print_table
from aicp.cli.progress import job_words, wait_for_job
from aicp.core.job import JobState

app = typer.Typer(no_args_is_help=True, help="Look at, wait for and cancel long work.")


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    project: str | None = None,
    state: JobState | None = None,
    kind: Annotated[str | None, typer.Option(help="model_import, upload_check, engine_install, ...")] = None,
    search: Annotated[str | None, typer.Option(help="A part of the title.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="After so many.")] = 0,
    json_: JsonFlag = False,
) -> None:
    """List jobs, newest first."""
    jobs = connect(ctx).jobs.list(project=project, state=state, kind=kind, search=search, limit=limit, offset=offset)
    if json_:
        return print_json(jobs)
    print_table(
        jobs,
        [
            ("id", lambda j: j.id),
            ("title", lambda j: j.title),
            ("state", lambda j: j.state),
            ("progress", lambda j: job_words(j)[0]),
            ("created", lambda j: j.created_at),
        ],
        empty="No jobs yet. Imports and engine installs show here.",
    )


@app.command()
def show(ctx: typer.Context, job_id: str, json_: JsonFlag = False) -> None:
    """Show a job: how far it is, and why it ended."""
    job = connect(ctx).jobs.get(job_id)
    if json_:
        return print_json(job)
    print_facts(
        [
            ("title", job.title),
            ("state", job.state),
            ("progress", job_words(job)[0]),
            ("error", job.error),
            ("created", job.created_at),
            ("finished", job.finished_at),
        ]
    )


@app.command()
def wait(ctx: typer.Context, job_id: str, json_: JsonFlag = False) -> None:
    """Wait for a job; fails when the job fails."""
    client = connect(ctx)
    job = wait_for_job(client, client.jobs.get(job_id), "Waiting")
    print_done(job, f"{job.title}: {job.state}.", as_json=json_)


@app.command()
def cancel(ctx: typer.Context, job_id: str, json_: JsonFlag = False) -> None:
    """Cancel a job."""
    print_done(connect(ctx).jobs.cancel(job_id), f"Asked {job_id} to stop.", as_json=json_)
