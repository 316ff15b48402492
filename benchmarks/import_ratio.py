"""Import speed against `cp` and `sha256sum` of the same files, without a running platform. Prints JSON.

python benchmarks/import_ratio.py [MiB] [rounds]
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.model_files import make_model_dir, safetensors_bytes
from tests.support.platform_jobs import Importing, working

from aicp.core.bell import Bell
from aicp.core.clock import SystemClock
from aicp.core.job import FINISHED_JOB_STATES, JobState
from aicp.core.model import DirectorySource, ImportRequest
from aicp.store.database import Database
from aicp.store.jobs import Jobs


def make_files(directory: Path, total_bytes: int) -> None:
    """A model of two shards and its small files, in the page cache."""
    make_model_dir(directory)
    half = total_bytes // 2
    for number in range(2):
        header = safetensors_bytes({f"w{number}": ("U8", [half], half)}, b"")
        with (directory / f"model-{number}.safetensors").open("wb") as file:
            file.write(header)
            for _ in range(0, half, 2**20):
                file.write(os.urandom(min(2**20, half)))
    (directory / "model.safetensors").unlink()
    for path in directory.iterdir():
        path.read_bytes()


def copy_and_hash(directory: Path, into: Path) -> float:
    """Seconds of `cp -r` and then `sha256sum` of the copy."""
    start = time.perf_counter()
    subprocess.run(["cp", "-r", directory, into], check=True)
    subprocess.run(["sha256sum", *into.iterdir()], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


async def import_once(directory: Path, root: Path) -> float:
    """Seconds from the job's creation to its end, as a user sees it."""
    root.mkdir()
    database, clock, bell = Database(f"sqlite+aiosqlite:///{root}/aicp.sqlite"), SystemClock(), Bell()
    importing = Importing(root / "artifacts", database, bell)
    await database.create_all()
    parameters = {"model": "m", "request": ImportRequest(source=DirectorySource(path=str(directory))).model_dump()}
    async with working(importing.runner()):
        start = time.perf_counter()
        async with database.transaction() as tx:
            job = await Jobs(tx).create("model_import", "m", at=clock.now(), parameters=parameters)
        with bell.subscription("job") as rings:
            bell.ring("job", job.id)
            while job.state not in FINISHED_JOB_STATES:
                await rings.get()
                async with database.snapshot() as tx:
                    job = await Jobs(tx).get(job.id)
        took = time.perf_counter() - start
    await database.close()
    assert job.state is JobState.SUCCEEDED, job.error
    return took


def main() -> None:
    """Rounds of both, one after the other and in turn the first, so that a busy machine slows both alike."""
    mebibytes = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    pairs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_files(root / "model", mebibytes * 2**20)
        for number in range(rounds):
            sides = ("ours", "theirs") if number % 2 else ("theirs", "ours")
            took: dict[str, float] = {}
            for side in sides:
                place = root / f"{side}{number}"
                once = side == "ours"
                took[side] = (
                    asyncio.run(import_once(root / "model", place)) if once else copy_and_hash(root / "model", place)
                )
                shutil.rmtree(place)
            pairs.append((took["theirs"], took["ours"]))
    ratios = [theirs / ours for theirs, ours in pairs]
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "import_seconds": statistics.median(ours for _, ours in pairs),
        "copy_and_hash_seconds": statistics.median(theirs for theirs, _ in pairs),
        "mebibytes": mebibytes,
        "rounds": rounds,
    }
    print(json.dumps({"import": figures}, indent=2))


main()
