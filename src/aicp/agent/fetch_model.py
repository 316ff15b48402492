"""Brings a model's files into a directory and ends: what pods of a cluster do before their engine starts.

`python -m aicp.agent.fetch_model --digest D --files files.json --into /models --control URL`, with the platform's
internal token in AICP_INTERNAL_TOKEN. Several may work on one directory: one fetches, the others wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aicp.agent.disk import explain_disk
from aicp.agent.model_copies import CopySource, ModelCopies
from aicp.core.clock import SystemClock
from aicp.core.errors import AicpError

TOKEN_VARIABLE = "AICP_INTERNAL_TOKEN"


def main(words: Sequence[str]) -> int:
    """The exit status; what went wrong is said on standard error."""
    given = _parser().parse_args(words)
    token = os.getenv(TOKEN_VARIABLE, "")  # a variable and no argument: no list of processes shows it
    source = CopySource(given.control, token, certificate=given.certificate)
    try:
        files = [(path, sha256, size) for path, sha256, size in json.loads(given.files.read_text("utf-8"))]
        asyncio.run(fetch(given.digest, files, given.into, source))
    except (AicpError, OSError, ValueError) as error:
        sys.stderr.write(f"aicp: the model could not be fetched: {error}\n")
        return 1
    sys.stderr.write(f"aicp: the model is in {given.into / given.digest}\n")
    return 0


async def fetch(digest: str, files: Sequence[tuple[str, str, int]], into: Path, source: CopySource) -> Path:
    """The directory of the copy. Raises UnavailableError, NoSpaceError or InvalidError."""
    try:
        into.mkdir(parents=True, exist_ok=True)
        lock = os.open(into / f".{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise explain_disk(error, "The model copy cannot be begun") from error
    try:
        # an advisory lock, also on network file systems; it goes with the process, however that ends
        await asyncio.to_thread(fcntl.lockf, lock, fcntl.LOCK_EX)
        return await ModelCopies(into, source, SystemClock()).ensure(digest, files, _Steps(digest).say)
    finally:
        os.close(lock)


class _Steps:
    """Says every tenth of the way once."""

    def __init__(self, digest: str) -> None:
        self._digest = digest
        self._said = -1

    def say(self, progress: float) -> None:
        """`progress` is 0 to 1."""
        step = int(progress * 10)
        if step > self._said:
            self._said = step
            sys.stderr.write(f"aicp: model {self._digest[:12]}: {step * 10} %\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aicp.agent.fetch_model", description="Fetches a model's files.")
    parser.add_argument("--digest", required=True)
    parser.add_argument("--files", required=True, type=Path, help="JSON list of [path, sha256, size_bytes]")
    parser.add_argument("--into", required=True, type=Path)
    parser.add_argument("--control", required=True, help="address of the control plane")
    parser.add_argument("--certificate", type=Path, help="PEM file that an https address must prove to be")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
