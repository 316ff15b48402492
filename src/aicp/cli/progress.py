"""Progress of long work on a terminal; plain lines where there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from aicp.cli.output import err
from aicp.client.rest import Client
from aicp.core.clock import Clock, SystemClock
from aicp.core.job import Job
from aicp.core.quantity import format_bytes
from aicp.core.service import Service

_NUMBER = re.compile(r"[0-9][0-9.,]*( [KMGT]i?B)?")
_QUIET_SECONDS = 10.0
Report = Callable[[str, float | None], None]
"""Called with words and a fraction 0..1 (None: unknown)."""


@contextmanager
def progress_line(title: str) -> Generator[Report, None, None]:
    """A live bar on a terminal; elsewhere a line for each new step, and one now and then while only numbers move."""
    if not err.is_terminal:
        yield _Lines(title, SystemClock())
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=None)

        def update(words: str, fraction: float | None) -> None:
            total = None if fraction is None else 1.0
            progress.update(task, description=f"{title}: {words}", completed=fraction or 0, total=total)

        yield update


class _Lines:
    def __init__(self, title: str, clock: Clock) -> None:
        self._title = title
        self._clock = clock
        self._step: str | None = None
        self._words = ""
        self._said_at = 0.0

    def __call__(self, words: str, _: float | None) -> None:
        step, now = _NUMBER.sub("", words), self._clock.monotonic()
        if step == self._step and (words == self._words or now - self._said_at < _QUIET_SECONDS):
            return
        self._step, self._words, self._said_at = step, words, now
        err.print(f"{self._title}: {words}", markup=False)


def job_words(job: Job) -> tuple[str, float | None]:
    """What a job does now, and how far it is."""
    now = job.progress
    if not now.total:
        return now.message or now.phase or job.state, None
    if now.unit == "share":
        return f"{now.message or now.phase} ({now.done / now.total:.0%})", min(now.done / now.total, 1.0)
    if now.unit == "bytes":
        amount = f"{format_bytes(now.done)} of {format_bytes(now.total)}"
        rate = f", {format_bytes(now.rate)}/s" if now.rate else ""
    else:
        amount, rate = f"{now.done:.0f} of {now.total:.0f} {now.unit}", ""
    return f"{now.phase or job.state} ({amount}{rate})", min(now.done / now.total, 1.0)


def wait_for_job(client: Client, job: Job, title: str) -> Job:
    """Shows the job until it ends. Raises the job's own error."""
    with progress_line(title) as report:
        return client.jobs.wait(job.id, lambda now: report(*job_words(now)))


def wait_for_service(
    client: Client, name: str, title: str, *, generation: int | None = None, timeout_seconds: float = 1800
) -> Service:
    """Shows the service until it is ready. Raises ConflictError when it fails or `generation` is rolled back."""

    def show(report: Report, service: Service) -> None:
        report(service.reason or service.state, None)

    with progress_line(title) as report:
        return client.services.wait(
            name, generation=generation, timeout_seconds=timeout_seconds, progress=lambda service: show(report, service)
        )
