"""Where the platform keeps its data: PostgreSQL, a full disk, a directory that cannot be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.support.model_files import make_model_dir, safetensors_bytes
from tests.support.platform import Platform
from tests.support.postgres import PostgresServer

from aicp.core.errors import AicpError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
MIB = 2**20
_numbers = count(1)


def refused_start(platform: Platform) -> str:
    """What `up` says when it does not start."""
    done = subprocess.run(
        platform.command("up"), env=platform.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr + done.stdout


@pytest.mark.postgres
def test_the_platform_keeps_its_state_in_postgresql(postgres: PostgresServer, tmp_path: Path) -> None:
    name = f"platform{next(_numbers)}"
    postgres.run("createdb", "-h", str(postgres.folder), "-U", "aicp", "-T", "template0", name)
    platform = Platform(tmp_path / "data", AICP_DATABASE_URL=postgres.url(name)).start()
    try:
        platform.import_demo()
        secret = platform.client.keys.create("kept").secret
        platform.wait_restarted("control", platform.kill("control"))
        assert platform.stop() == 0
        platform.start()
        model = platform.client.models.get("aicp-demo")
        assert model.latest is not None
        assert model.latest.version == "v1"
        assert [key.name for key in platform.client.keys.list() if secret.startswith(key.prefix)] == ["kept"]
        assert not list((tmp_path / "data").rglob("*.sqlite"))
    finally:
        platform.stop()


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql+asyncpg://aicp:open-sesame@127.0.0.1:1/nothing"
    platform = Platform(tmp_path / "data", AICP_DATABASE_URL=url)
    process = subprocess.Popen(platform.command("up"), env=platform.env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    # It may come up later, so the platform goes on trying.
    while "does not answer" not in said:
        said += process.stderr.readline()
    process.terminate()
    said += process.communicate(timeout=60)[1]
    assert "127.0.0.1:1/nothing" in said
    assert "open-sesame" not in said
    assert "Traceback" not in said
    refused = refused_start(Platform(tmp_path / "other", AICP_DATABASE_URL="postgres://aicp:open-sesame@host/x"))
    assert "AICP_DATABASE_URL" in refused
    assert "open-sesame" not in refused


Remount = Callable[[str], None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Remount]]:
    """A disk of 200 MiB of its own, and a way to remount it with other options."""
    if os.geteuid() != 0:
        pytest.skip("not run: only root can mount a disk of its own")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m,mode=0755", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("not run: this machine lets nobody mount")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True, capture_output=True)

    yield disk, remount
    subprocess.run(["umount", "--lazy", str(disk)], check=True, capture_output=True)


def test_a_full_disk_is_said_and_does_no_damage(small_disk: tuple[Path, Remount], tmp_path: Path) -> None:
    disk, _ = small_disk
    platform = Platform(disk / "data").start()
    try:
        platform.import_demo()
        large = make_model_dir(tmp_path / "large")
        with (large / "model.safetensors").open("wb") as weights:
            weights.write(safetensors_bytes({"w": ("BF16", [100 * MIB], 200 * MIB)}))
        client = platform.client
        with pytest.raises(AicpError) as caught:
            client.jobs.wait(client.models.import_directory("large", large).id)
        assert caught.value.code == "no_space"
        assert "full" in caught.value.message or "free" in caught.value.message
        filler = disk / "filler"
        fill(filler)
        model = client.models.get("aicp-demo")
        assert model.latest is not None
        assert client.session()
        with pytest.raises(AicpError) as caught:
            make_keys(platform, 200)
        assert caught.value.status == 507
        assert caught.value.hint
        filler.unlink()
        assert client.keys.create("after").secret
        small = make_model_dir(tmp_path / "small", seed=1)
        client.jobs.wait(client.models.import_directory("small", small).id)
        assert platform.stop() == 0
        fill(filler)
        said = refused_start(platform)
        assert "disk" in said
        filler.unlink()
        platform.start()
        assert {model.name for model in platform.client.models.list() if model.latest} == {"aicp-demo", "small"}
        (version,) = platform.client.models.versions("aicp-demo")
        assert version == model.latest
    finally:
        platform.stop()


def make_keys(platform: Platform, number: int) -> None:
    """Writes rows until the database needs room."""
    for one in range(number):
        platform.client.keys.create(f"key {one} " + "x" * 80)


def fill(path: Path) -> None:
    """Takes all the room that the disk still has."""
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_a_read_only_directory_is_said_and_does_no_damage(small_disk: tuple[Path, Remount]) -> None:
    disk, remount = small_disk
    platform = Platform(disk / "data").start()
    try:
        platform.import_demo()
        assert platform.stop() == 0
        remount("ro")
        said = refused_start(platform)
        assert str(platform.data_dir) in said
        assert "Read-only" in said
        assert "AICP_DATA_DIR" in said
        remount("rw")
        platform.start()
        assert platform.client.models.get("aicp-demo").latest is not None
    finally:
        remount("rw")
        platform.stop()
