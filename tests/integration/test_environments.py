"""Building, verifying and removing environments, with real pip on packages made on the spot and no index."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.clock import FakeClock
from tests.support.wheels import KEY, make_definition, make_wheel

from aicp.core.errors import AicpError, ConflictError, InvalidError, NotFoundError
from aicp.core.job import JobProgress
from aicp.core.node import EnvironmentState
from aicp.environments.base import Definition, EnvironmentKey
from aicp.environments.commands import InstallError
from aicp.environments.environments import Environments
from aicp.environments.manifest import read_manifest, write_manifest


def open_root(root: Path, definition: Definition, wheels: Path) -> Environments:
    return Environments(
        root,
        clock=FakeClock(),
        parent={"PATH": os.environ["PATH"], "HOME": str(root)},
        wheelhouse=wheels,
        definitions={definition.key: definition},
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the toy environment built once; tests that change it work on copies."""
    base = tmp_path_factory.mktemp("built")
    definition = make_definition(base / "locks", make_wheel(base / "wheels"))
    seen: list[JobProgress] = []
    asyncio.run(open_root(base / "root", definition, base / "wheels").build(KEY, seen.append))
    assert any((progress.phase, progress.done, progress.total) == ("installing toy", 1, 1) for progress in seen)
    return base


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Environments:
    """The built environment in a root of its own."""
    shutil.copytree(built / "root", tmp_path / "root", symlinks=True)
    definition = make_definition(built / "locks", built / "wheels" / "toybox-1.0-py3-none-any.whl")
    return open_root(tmp_path / "root", definition, built / "wheels")


async def test_a_built_environment_is_installed_and_whole(copy: Environments) -> None:
    status = copy.status(KEY)
    assert status.state is EnvironmentState.INSTALLED
    assert status.size_bytes is not None
    assert status.size_bytes > 1_000_000
    assert await copy.verify(KEY) == []
    manifest = read_manifest(copy.directory(KEY))
    assert manifest is not None
    assert manifest.packages["toybox"] == "1.0"
    assert copy.interpreter(KEY).exists()


async def test_a_second_build_does_nothing(copy: Environments) -> None:
    before = (copy.directory(KEY) / "manifest.json").stat().st_mtime_ns
    await copy.build(KEY)
    assert (copy.directory(KEY) / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["toybox.py", "toy_repair.py"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
async def test_verify_names_the_file_that_was_tampered_with(copy: Environments, damage: str, name: str) -> None:
    module = next(copy.directory(KEY).glob(f"lib/python3.*/site-packages/{name}"))
    module.write_text("ANSWER = 13\n") if damage == "changed" else module.unlink()
    [problem] = await copy.verify(KEY)
    assert name in problem


async def test_verify_notices_a_package_that_was_added(copy: Environments) -> None:
    root = next(copy.directory(KEY).glob("lib/python3.*/site-packages"))
    (root / "extra-1.0.dist-info").mkdir()
    (root / "extra-1.0.dist-info" / "RECORD").write_text("")
    assert await copy.verify(KEY) == ["the list of installed packages has changed"]


async def test_another_lock_is_built_beside_it(copy: Environments, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "other", code="ANSWER = 42  # again\n")
    newer = open_root(tmp_path / "root", make_definition(tmp_path / "locks", wheel), tmp_path / "other")
    assert newer.status(KEY).state is EnvironmentState.ABSENT
    with pytest.raises(NotFoundError):
        newer.interpreter(KEY)
    await newer.build(KEY)
    assert newer.status(KEY).state is EnvironmentState.INSTALLED
    assert await copy.verify(KEY) == []
    await newer.remove(KEY)
    assert copy.status(KEY).state is EnvironmentState.INSTALLED


async def test_other_repairs_are_written_without_installing_again(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "root", tmp_path / "root", symlinks=True)
    definition = make_definition(built / "locks", built / "wheels" / "toybox-1.0-py3-none-any.whl")
    longer = replace(definition.repairs[0], text="ANSWER = 42\nMORE = True\n")
    other = open_root(tmp_path / "root", replace(definition, repairs=(longer,)), tmp_path / "no-wheels-at-all")
    assert other.status(KEY).state is EnvironmentState.BROKEN
    await other.build(KEY)
    assert other.status(KEY).state is EnvironmentState.INSTALLED
    assert "MORE" in next(other.directory(KEY).glob("lib/python3.*/site-packages/toy_repair.py")).read_text()


async def test_a_program_for_another_processor_makes_it_broken(copy: Environments) -> None:
    manifest = read_manifest(copy.directory(KEY))
    assert manifest is not None
    alien = manifest.model_copy(update={"processor_features": ["quantum"]})
    write_manifest(copy.directory(KEY), alien)
    assert "another processor" in (copy.status(KEY).message or "")


async def test_remove_deletes_and_an_absent_one_is_success(copy: Environments) -> None:
    await copy.remove(KEY)
    assert not copy.directory(KEY).exists()
    assert copy.status(KEY).state is EnvironmentState.ABSENT
    await copy.remove(KEY)


async def test_a_cut_off_build_is_broken_until_built_anew(built: Path, tmp_path: Path) -> None:
    definition = make_definition(built / "locks", built / "wheels" / "toybox-1.0-py3-none-any.whl")
    environments = open_root(tmp_path / "root", definition, built / "wheels")
    (environments.directory(KEY) / "lib").mkdir(parents=True)
    (environments.directory(KEY) / "lib" / "rest").write_text("left behind")
    assert environments.status(KEY).state is EnvironmentState.BROKEN
    await environments.build(KEY)
    assert environments.status(KEY).state is EnvironmentState.INSTALLED
    assert not (environments.directory(KEY) / "lib" / "rest").exists()


async def test_a_wrong_checksum_installs_nothing(tmp_path: Path) -> None:
    definition = make_definition(tmp_path / "locks", make_wheel(tmp_path / "wheels"), digest="0" * 64)
    environments = open_root(tmp_path / "root", definition, tmp_path / "wheels")
    with pytest.raises(InstallError) as caught:
        await environments.build(KEY)
    assert caught.value.code == "checksum_mismatch"
    assert environments.status(KEY).state is EnvironmentState.ABSENT


async def test_a_failing_probe_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels")
    definition = make_definition(tmp_path / "locks", wheel, probe="raise SystemExit('error: no such kernel')")
    environments = open_root(tmp_path / "root", definition, tmp_path / "wheels")
    with pytest.raises(InstallError, match="no such kernel"):
        await environments.build(KEY)
    assert not environments.directory(KEY).exists()


async def test_a_missing_package_is_unavailable(tmp_path: Path) -> None:
    definition = make_definition(tmp_path / "locks", make_wheel(tmp_path / "wheels"))
    (tmp_path / "empty").mkdir()
    environments = open_root(tmp_path / "root", definition, tmp_path / "empty")
    with pytest.raises(AicpError) as caught:
        await environments.build(KEY)
    assert caught.value.status == 503


async def test_canceling_leaves_nothing_behind(tmp_path: Path) -> None:
    definition = make_definition(tmp_path / "locks", make_wheel(tmp_path / "wheels"))
    environments = open_root(tmp_path / "root", definition, tmp_path / "wheels")
    started = asyncio.Event()

    task = asyncio.create_task(environments.build(KEY, lambda progress: _set_when_creating(progress, started)))
    await started.wait()
    assert environments.status(KEY).state is EnvironmentState.INSTALLING
    with pytest.raises(ConflictError):
        await environments.remove(KEY)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert environments.status(KEY).state is EnvironmentState.ABSENT
    assert not environments.directory(KEY).exists()


async def test_two_builders_of_one_root_take_turns(tmp_path: Path) -> None:
    definition = make_definition(tmp_path / "locks", make_wheel(tmp_path / "wheels"))
    first, second = (open_root(tmp_path / "root", definition, tmp_path / "wheels") for _ in range(2))
    started = asyncio.Event()
    building = asyncio.create_task(first.build(KEY, lambda progress: _set_when_creating(progress, started)))
    await started.wait()
    assert second.status(KEY).phase == "being installed by another process"
    waited: list[str] = []
    await asyncio.gather(building, second.build(KEY, lambda progress: waited.append(progress.phase)))
    assert waited == ["waiting for another installation"]
    assert second.status(KEY).state is EnvironmentState.INSTALLED


async def test_an_unknown_environment_names_the_known_ones(tmp_path: Path) -> None:
    definition = make_definition(tmp_path / "locks", make_wheel(tmp_path / "wheels"))
    environments = open_root(tmp_path / "root", definition, tmp_path / "wheels")
    with pytest.raises(InvalidError) as caught:
        await environments.build(EnvironmentKey("toy", "9", "cpu"))
    assert "toy-1.0-cpu" in (caught.value.hint or "")


async def test_another_machine_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    definition = make_definition(tmp_path / "locks", make_wheel(tmp_path / "wheels"))
    environments = open_root(tmp_path / "root", replace(definition, machines=("s390x",)), tmp_path / "wheels")
    with pytest.raises(InvalidError, match="has no packages for"):
        await environments.build(KEY)
    assert not environments.directory(KEY).exists()


def _set_when_creating(progress: JobProgress, started: asyncio.Event) -> None:
    if progress.phase.startswith("creating"):
        started.set()


async def test_offline_without_a_folder_of_packages_nothing_is_asked(built: Path, tmp_path: Path) -> None:
    definition = make_definition(built / "locks", built / "wheels" / "toybox-1.0-py3-none-any.whl")
    environments = Environments(
        tmp_path / "root",
        clock=FakeClock(),
        parent={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        offline=True,
        definitions={definition.key: definition},
    )
    with pytest.raises(ConflictError, match="offline") as caught:
        await environments.build(KEY)
    assert "AICP_WHEELHOUSE" in (caught.value.hint or "")
    assert environments.status(KEY).state is EnvironmentState.ABSENT


async def test_a_torch_wheel_that_nobody_tested_is_told(copy: Environments) -> None:
    manifest = read_manifest(copy.directory(KEY))
    assert manifest is not None
    assert copy.status(KEY).message is None
    write_manifest(copy.directory(KEY), manifest.model_copy(update={"torch_known": False}))
    status = copy.status(KEY)
    assert (status.state, status.message) == (
        EnvironmentState.INSTALLED,
        "Installed with a torch wheel that this engine was never tested with.",
    )
