"""Compiles the gateway's busiest modules (aicp/gateway/compiled.py) into the environment this runs in.

Does nothing when that was done of the same sources. Where there is no C compiler it says so and ends with 0: the
gateway runs from its sources then, at about a third of the speed. With --required that is an error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
_TRIAL = "#include <Python.h>\nint main(void) { return 0; }\n"


def main() -> int:
    """1 when compiling failed or was required and is not possible."""
    sys.path.insert(0, str(ROOT / "src"))
    from aicp.gateway import COMPILED, compiled  # noqa: PLC0415 what is on the path is what is compiled

    if COMPILED:
        return 0
    problem = _no_compiler()
    if problem:
        print(f"The gateway runs from its sources, slower: {problem}", file=sys.stderr)
        return 1 if "--required" in sys.argv[1:] else 0
    print(f"Compiling {len(compiled.MODULES)} modules of the gateway (about a minute, once) ...")
    home = compiled.home()
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".new-") as place:
        log = Path(place) / "log"
        made = _compile(Path(place), compiled.MODULES, log)
        if not made:
            print(log.read_text(), file=sys.stderr)
            print("The gateway could not be compiled; it runs from its sources.", file=sys.stderr)
            return 1
        (Path(place) / "made" / "complete").touch()
        target = home / compiled.fingerprint()
        shutil.rmtree(target, ignore_errors=True)
        (Path(place) / "made").rename(target)
    for other in home.iterdir():
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return 0


def _no_compiler() -> str:
    """Why nothing can be compiled here; empty when it can."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})."
    with tempfile.TemporaryDirectory() as place:
        trial = Path(place) / "trial.c"
        trial.write_text(_TRIAL)
        include = sysconfig.get_paths()["include"]
        done = subprocess.run(
            [compiler, "-c", f"-I{include}", trial, "-o", trial.with_suffix(".o")], capture_output=True
        )
    return "" if done.returncode == 0 else "Python's header files are missing (package python3-dev or so)."


def _compile(place: Path, modules: tuple[str, ...], log: Path) -> bool:
    """Writes the compiled modules to `place`/made."""
    program = (
        "from mypyc.build import mypycify\nfrom setuptools import setup\nimport sys\n"
        "setup(name='aicp-gateway', ext_modules=mypycify(sys.argv[3:], opt_level='3', debug_level='0'),"
        " script_args=['-q', 'build_ext', '--build-lib', sys.argv[1], '--build-temp', sys.argv[2]])"
    )
    sources = [f"aicp/gateway/{name}.py" for name in modules]
    options = ["--python-executable", sys.executable, "--ignore-missing-imports", "--cache-dir", os.devnull]
    work = place / "work"
    shutil.copytree(ROOT / "src" / "aicp", work / "aicp", ignore=shutil.ignore_patterns("__pycache__"))
    with log.open("w") as output, contextlib.suppress(OSError):
        done = subprocess.run(
            [sys.executable, "-c", program, place / "made", place / "temporary", *options, *sources],
            cwd=work,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        return done.returncode == 0
    return False


if __name__ == "__main__":
    sys.exit(main())
