"""What stops a start before it begins, in words a user can act on."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aicp.core.errors import ConflictError, InvalidError, NoSpaceError
from aicp.main.preflight import check_port, ensure_token, lock_data_dir, prepare_data_dir


def test_directories_are_private_and_made_again_without_harm(tmp_path: Path) -> None:
    data = tmp_path / "data"
    prepare_data_dir(data)
    (data / "db" / "kept").touch()
    prepare_data_dir(data)
    assert (data / "db" / "kept").exists()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (data, data / "run", data / "db")} == {0o700}


def test_one_platform_a_directory(tmp_path: Path) -> None:
    prepare_data_dir(tmp_path)
    first = lock_data_dir(tmp_path)
    (tmp_path / "run" / "up.json").write_text('{"pid": 4711}')
    with pytest.raises(ConflictError) as caught:
        lock_data_dir(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert "pid 4711" in caught.value.message
    os.close(first)
    os.close(lock_data_dir(tmp_path))


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConflictError) as caught:
            check_port("127.0.0.1", port, "AICP_GATEWAY_PORT")
    assert str(port) in caught.value.message
    assert caught.value.hint is not None
    assert "AICP_GATEWAY_PORT (or --gateway-port)" in caught.value.hint
    check_port("127.0.0.1", port, "AICP_PORT")
    with pytest.raises(InvalidError, match="cannot listen on 203\\.0\\.113\\.7"):
        check_port("203.0.113.7", port, "AICP_PORT")


def test_a_path_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="too long"):
        prepare_data_dir(tmp_path / ("x" * 90))


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(InvalidError, match="cannot be used"):
        prepare_data_dir(tmp_path / "data")


def test_a_token_is_made_once_and_private(tmp_path: Path) -> None:
    token = ensure_token(tmp_path / "token")
    assert len(token) >= 32
    assert ensure_token(tmp_path / "token") == token
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


@pytest.fixture(params=["size=1m", "size=512m,ro"])
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    command = ["mount", "-t", "tmpfs", "-o", request.param, "aicp-test", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("not run: needs the right to mount")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.root
def test_a_full_and_a_read_only_disk(small_disk: Path) -> None:
    with pytest.raises((NoSpaceError, InvalidError)) as caught:
        prepare_data_dir(small_disk / "data")
    if isinstance(caught.value, NoSpaceError):
        assert "free" in caught.value.message
    else:
        assert "Read-only file system" in caught.value.message
    assert "AICP_DATA_DIR" in (caught.value.hint or "")
