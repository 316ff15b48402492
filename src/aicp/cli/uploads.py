"""`aicp upload`, and how a folder of this machine gets to the platform."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.output import err, print_done, print_json, print_table
from aicp.cli.progress import Report, progress_line
from aicp.cli.upload_memory import UploadMemory
from aicp.client.rest import Client
from aicp.client.uploads import FolderFile, Progress, read_folder
from aicp.core.errors import NotFoundError
from aicp.core.quantity import format_bytes
from aicp.core.upload import Upload, UploadState

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
            ("project", lambda u: u.project),
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


class FolderUpload:
    """A folder on its way to a project; the same folder again goes on where it was interrupted."""

    def __init__(self, client: Client, directory: Path, *, project: str, resume: str | None = None) -> None:
        """`resume` names the upload to take up, instead of the remembered one."""
        self._client = client
        self._directory = directory
        self._project = project
        self._resume = resume
        self._memory = UploadMemory(client.transport.url, project, directory)

    def send(self) -> str:
        """Sends what has not arrived yet; answers the upload's id. Raises InvalidError when the folder changed."""
        remembered = self._memory.recall()
        known = {file.path: file for file in remembered.files} if remembered else {}
        with progress_line("Reading") as report:
            files = read_folder(self._directory, known, _shown(report))
        wanted = self._resume or (remembered.upload_id if remembered else None)
        upload = self._take_up(wanted, files) if wanted else None
        if upload is None:
            upload = self._client.uploads.announce(files, project=self._project)
            err.print(f"Upload {upload.id}; if it breaks off, run the same command again.", markup=False)
        self._memory.remember(upload.id, files)
        with progress_line("Upload") as report:
            self._client.uploads.send(upload, self._directory, files, progress=_shown(report))
        return upload.id

    def _take_up(self, upload_id: str, files: Sequence[FolderFile]) -> Upload | None:
        """The upload to go on with; None when it is over, or the folder is no longer what it was."""
        if self._resume:
            return self._client.uploads.get(self._resume)  # `send` tells what does not fit
        try:
            upload = self._client.uploads.get(upload_id)
        except NotFoundError:
            return None
        announced = {file.path: (file.size_bytes, file.sha256) for file in upload.files}
        if announced != {file.path: (file.size_bytes, file.sha256) for file in files}:
            self._give_up(upload, "The folder has changed")
            return None
        if upload.state is UploadState.REFUSED:
            self._give_up(upload, "It was refused")
        if upload.state in (UploadState.REFUSED, UploadState.IMPORTED):
            return None
        received = sum(file.offset for file in upload.files)
        err.print(f"Upload {upload.id} goes on after {format_bytes(received)}.", markup=False)
        return upload

    def _give_up(self, upload: Upload, why: str) -> None:
        err.print(f"{why}; upload {upload.id} is given up and all files are sent again.", markup=False)
        self._client.uploads.delete(upload.id)

    def forget(self) -> None:
        """The import is done: the next one of this folder is a new upload."""
        self._memory.forget()


def _shown(report: Report, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Bytes, rate and time left; in plain lines only once a percent."""
    began: list[tuple[float, int]] = []
    shown: list[int] = []

    def show(done: int, total: int) -> None:
        percent = 100 * done // total if total else 100
        began.append((clock(), done)) if not began else None
        if not err.is_terminal and shown == [percent]:
            return
        shown[:] = [percent]
        started, before = began[0]
        rate = (done - before) / max(clock() - started, 0.001)
        words = f"{format_bytes(done)} of {format_bytes(total)}"
        if rate:
            words += f", {format_bytes(rate)}/s, {_duration((total - done) / rate)} left"
        report(words, done / total if total else None)

    return show


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
