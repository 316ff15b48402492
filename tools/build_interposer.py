"""Compiles the slice library (`interposer/`) into the environment this runs in, where there is a C compiler.

Does nothing when that was done of the same sources. Where it cannot be built it says so and ends with 0: the platform
runs without it, and slices of NVIDIA devices by `interposer` are reported as not available. With --required that is an
error.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "interposer" / "src"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC", "-pthread")


def main() -> int:
    """1 when compiling failed or was required and is not possible."""
    sys.path.insert(0, str(ROOT / "src"))
    from aicp.enforcers.interposer import library_path  # noqa: PLC0415 the platform says where it looks for it

    target = library_path()
    stamp = target.with_suffix(".sources")
    fingerprint = _fingerprint()
    if target.is_file() and stamp.is_file() and stamp.read_text() == fingerprint:
        return 0
    problem = _impossible()
    if problem:
        print(f"Slices of NVIDIA devices by the interposer are not available: {problem}", file=sys.stderr)
        return 1 if "--required" in sys.argv[1:] else 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as place:
        made = Path(place) / target.name
        try:
            compile_library(made)
        except subprocess.CalledProcessError as error:
            print(error.stderr, file=sys.stderr)
            print("The slice library could not be compiled.", file=sys.stderr)
            return 1
        stamp.unlink(missing_ok=True)
        made.replace(target)  # processes that have the old one mapped keep it
        stamp.write_text(fingerprint)
    return 0


def compile_library(target: Path) -> None:
    """Raises CalledProcessError with what the compiler says."""
    visible = ("-shared", "-fvisibility=hidden", "-o", str(target))
    compiler = shutil.which("cc") or "cc"
    command = [compiler, *FLAGS, *visible, *map(str, sorted(SOURCES.glob("*.c"))), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _impossible() -> str:
    """Why it cannot be compiled here; empty when it can."""
    if sys.platform != "linux":
        return "they need Linux."
    return "" if shutil.which("cc") else "there is no C compiler (cc)."


def _fingerprint() -> str:
    digest = sha256(" ".join(FLAGS).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
