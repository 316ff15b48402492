"""How Ray's processes are started."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from aicp.core.errors import InvalidError
from aicp.core.ray_member import RayMember
from aicp.main.ray_membership import read_membership, write_membership
from aicp.main.ray_start import head_command, node_command, ray_variables, state_environment, temporary_directory
from aicp.main.settings import load_settings
from aicp.main.up import child_plans


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """The short directory that a member's Ray has is made as soon as it is named."""
    yield
    temporary_directory(tmp_path).rmdir()


def member(tmp_path: Path) -> RayMember:
    return RayMember(tmp_path, "10.0.0.1:6380", "10.0.0.2")


def test_the_head_opens_no_dashboard_and_hands_out_nothing(tmp_path: Path):
    command = head_command(member(tmp_path), "head")
    assert {"--head", "--block", "--include-dashboard=false", "--num-gpus=0", "--port=6380"} <= set(command)
    assert "--address=10.0.0.1:6380" in node_command(member(tmp_path), "node_a")
    assert "--labels=aicp-node=node_a" in node_command(member(tmp_path), "node_a")


def test_sockets_have_room_in_a_directory_of_the_user_alone(tmp_path: Path):
    path = temporary_directory(tmp_path / ("long" * 15))
    assert len(str(path / "session_2026-01-01_00-00-00_000000_4194304" / "sockets" / "plasma_store.1")) < 107
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    path.rmdir()


def test_a_password_of_redis_is_never_part_of_a_command(tmp_path: Path):
    variables = state_environment("rediss://:s%2Fcret@10.0.0.9", tmp_path / "ca.pem", tmp_path)
    assert variables["RAY_REDIS_ADDRESS"] == "rediss://10.0.0.9:6379"
    assert variables["RAY_REDIS_PASSWORD"] == "s/cret"
    assert variables["RAY_REDIS_CA_CERT"] == str(tmp_path / "ca.pem")
    assert "cret" not in "".join(head_command(member(tmp_path), "head"))
    assert state_environment("", None, tmp_path)["RAY_gcs_storage_path"].startswith(str(tmp_path))


def test_nothing_of_another_cluster_is_inherited():
    assert ray_variables({"RAY_ADDRESS": "x", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_the_membership_is_read_back_and_a_missing_one_is_explained(tmp_path: Path):
    write_membership(member(tmp_path), "node_a", 400)
    assert read_membership(tmp_path) == (member(tmp_path), "node_a", 400)
    with pytest.raises(InvalidError) as raised:
        read_membership(tmp_path / "nothing")
    assert "join" in (raised.value.hint or "")


def test_the_head_is_a_child_of_the_platform_beside_its_own_agent(tmp_path: Path):
    flags = {"data_dir": str(tmp_path), "runner": "ray", "ray_address": "10.0.0.1:6380"}
    plans = child_plans(load_settings(flags, {}))
    assert [plan.name for plan in plans] == ["gateway", "control", "ray-head", "agent"]
    assert plans[2].listens == ("10.0.0.1", 6380)
    assert "ray-head" not in [plan.name for plan in child_plans(load_settings({"data_dir": str(tmp_path)}, {}))]
