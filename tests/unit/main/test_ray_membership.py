"""How a joined machine gets new papers of Ray."""

from __future__ import annotations

import json
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aicp.core.clock import SystemClock
from aicp.core.join import RayAdmission
from aicp.core.ray_member import RayMember
from aicp.main import ray_membership
from aicp.main.ray_membership import become_member, read_membership, renew_membership
from aicp.security.authority import Authority

CERTIFICATE = Authority.open(Path(tempfile.mkdtemp()), SystemClock()).certificate_pem


def papers(authority: str) -> RayAdmission:
    texts = {"certificate": CERTIFICATE, "key": "k", "token": "t"}
    return RayAdmission(head="10.0.0.1:6379", address="10.0.0.2", reconnect_seconds=400, authority=authority, **texts)


def test_papers_are_asked_for_by_those_that_there_are_and_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    directory = tmp_path / "run" / "ray"
    become_member(directory, papers("old"), "node_a")
    member, node_id, patience = read_membership(directory)
    assert (node_id, patience, member.address) == ("node_a", 400, "10.0.0.2")
    state = {"control": "10.0.0.1:8609", "host": "10.0.0.2", "bind": "", "port": 8610, "engine_port": 0}
    (tmp_path / "run" / "node.json").write_text(json.dumps(state))
    asked: list[tuple[str, str]] = []

    async def platform(control: str, tls: Callable[[], ssl.SSLContext], authority: str) -> RayAdmission | None:
        asked.append((control, authority))
        return papers("new") if authority != "new" else None

    monkeypatch.setattr(ray_membership, "renew_ray_papers", platform)
    assert renew_membership(tmp_path, member, node_id)
    assert member.authority.read_text() == "new"
    assert not renew_membership(tmp_path, member, node_id)
    assert asked == [("mtls://control.aicp@10.0.0.1:8609", "old"), ("mtls://control.aicp@10.0.0.1:8609", "new")]


def test_a_certificate_that_ends_some_day_is_asked_for_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    directory = tmp_path / "run" / "ray"
    become_member(directory, papers("old").model_copy(update={"certificate": "damaged"}), "node_a")
    state = {"control": "10.0.0.1:8609", "host": "10.0.0.2", "bind": "", "port": 8610, "engine_port": 0}
    (tmp_path / "run" / "node.json").write_text(json.dumps(state))
    asked: list[str] = []

    async def platform(_: str, tls: Callable[[], ssl.SSLContext], authority: str) -> RayAdmission | None:
        asked.append(authority)
        return None if authority == "old" else papers("old")

    monkeypatch.setattr(ray_membership, "renew_ray_papers", platform)
    member, node_id, _ = read_membership(directory)
    assert renew_membership(tmp_path, member, node_id)
    assert not renew_membership(tmp_path, member, node_id)
    assert asked == ["", "old"]


def test_a_machine_that_left_asks_nobody(tmp_path: Path):
    assert not renew_membership(tmp_path, RayMember(tmp_path, "", ""), "node_a")
