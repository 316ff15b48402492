"""The slice library in front of a stand-in for the driver, with programs that use both (interposer/tests)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aicp.enforcers.interposer import InterposerEnforcer

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from build_interposer import FLAGS, compile_library  # noqa: E402 the path is set above

_SOURCES = ROOT / "interposer" / "tests"
DEVICE_BYTES = 4096 << 20
DEVICES = tuple(
    "GPU-{}-{}-{}-{}-{}".format(*(text[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))))
    for text in (bytes(range(first, first + 16)).hex() for first in (0, 16))
)
"""The ids of the stand-in's two devices."""


def compiler() -> str | None:
    """The C compiler, None without one."""
    return shutil.which("cc")


class FakeCuda:
    """Compiled programs in `directory`. Raises CalledProcessError when they do not compile."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.library = directory / "libaicpslice.so"
        compile_library(self.library)
        self._compile("libcuda.so.1", "fake_driver.c", "fake_symbols.c", "-shared", "-Wl,-Bsymbolic")
        self._compile("libnvidia-ml.so.1", "fake_nvml.c", "-shared", "-Wl,-Bsymbolic")
        self._compile("tester", "tester.c", str(directory / "libcuda.so.1"), "-ldl")

    def enforcer(self, directory: Path) -> InterposerEnforcer:
        """One whose files are in `directory`."""
        return InterposerEnforcer(directory, self.library)

    def start(self, state: Path, env: Mapping[str, str], mode: str = "link", device: int = 0) -> Tester:
        """A program in a slice (`env` is what the enforcer says) on the devices whose state is the file `state`."""
        variables = {"LD_LIBRARY_PATH": str(self.directory), "FAKE_CUDA_STATE": str(state), **env}
        return Tester([str(self.directory / "tester"), mode, str(device)], variables)

    def _compile(self, target: str, *words: str) -> None:
        sources = [str(_SOURCES / word) if word.endswith(".c") else word for word in words]
        soname = [f"-Wl,-soname,{target}"] if "-shared" in words else []
        command = [compiler() or "cc", *FLAGS, "-o", str(self.directory / target), *sources, *soname]
        subprocess.run(command, check=True, capture_output=True, text=True)


class Tester:
    """A running program; `began` is what the driver answered to its start. See interposer/tests/tester.c."""

    __test__ = False

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        # the device is what is shared here; beside other work the programs must still get to launch
        with suppress(OSError):
            os.sched_setscheduler(self.process.pid, os.SCHED_RR, os.sched_param(1))
        self.began = int(self.answer()[0])

    def send(self, *words: object) -> None:
        """One command; `answer` waits for what comes of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self) -> list[str]:
        """The words of the next answer."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def ask(self, *words: object) -> list[int]:
        """Numbers in answer to a command; those without a word of their own take "-" for it."""
        self.send(*words)
        return [int(word) for word in self.answer()]

    def end(self) -> str:
        """Lets it end; what it wrote to standard error."""
        _, errors = self.process.communicate(timeout=30)
        return errors

    def kill(self) -> None:
        """SIGKILL, and no process is left of it."""
        self.process.kill()
        self.process.communicate(timeout=30)


def spin(testers: Mapping[str, Tester], kind: str, grid: int, seconds: float) -> dict[str, float]:
    """All launch as fast as they can for so long; which percent of the device's time each of them got."""
    until = time.monotonic_ns() + int(seconds * 1e9)
    for tester in testers.values():
        tester.send("spin", kind, grid, until)
    answers = {name: [int(word) for word in tester.answer()] for name, tester in testers.items()}
    return {name: 100 * busy / passed for name, (busy, passed) in answers.items()}
