"""Listeners over REST: who sets them, what is refused and in which words, and what the gateways get of them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.api import Api, Parts, serve_api
from tests.support.certificates import Authority
from tests.support.gateway_process import free_port
from tests.support.identity import add_project, identity_cases
from tests.support.services import Platform

from aicp.control.gateways import Gateways
from aicp.core.gateway import Heartbeat
from aicp.core.identity import Role
from aicp.core.model import Visibility
from aicp.core.route import ListenerEntry
from aicp.core.service import ServiceCreate, ServiceSpec
from aicp.store.database import Database

CHAT = "/api/v1/listeners/chat"


@dataclass
class Served:
    """The application beside services."""

    api: Api
    platform: Platform
    gateways: Gateways

    async def publish(self, name: str, project: str = "default", *, public: bool = False) -> None:
        visibility = Visibility.PUBLIC if public else Visibility.PROJECT
        spec = ServiceSpec(model="demo", visibility=visibility)
        await self.platform.services.publish(self.platform.caller, ServiceCreate(name=name, project=project, spec=spec))

    async def beat(self, listeners: dict[str, str], name: str = "gw_1", **more: Any) -> None:
        await self.gateways.heartbeat(name, Heartbeat(etag="1", listeners=listeners, **more))

    async def states(self, role: Role | None = None) -> dict[str, tuple[str, str]]:
        client = self.api.client(role) if role else self.api.client()
        items = (await client.get("/api/v1/listeners")).json()["items"]
        return {item["model"]: (item["state"], item["reason"]) for item in items}


@pytest.fixture
async def served(sqlite: Database) -> AsyncIterator[Served]:
    built: list[tuple[Platform, Gateways]] = []

    def use_cases(parts: Parts) -> dict[type, object]:
        cases = {**identity_cases(parts)}
        gateways = cases[Gateways]
        assert isinstance(gateways, Gateways)
        built.append((Platform(parts.database, parts.clock, bell=parts.bell), gateways))
        return cases

    async with serve_api(use_cases, database=sqlite) as api:
        platform = await built[0][0].prepare()
        await add_project(sqlite, api.parts.clock, "other")
        made = Served(api, platform, built[0][1])
        await made.publish("chat")
        yield made


async def test_one_is_set_moved_and_taken_away_and_gateways_hear_of_it_at_once(served: Served) -> None:
    admin, port = served.api.client(), free_port()
    before = await served.platform.routes.current()
    assert before.listeners == []
    waiting = served.platform.routes.wait(before.etag, 30)
    made = await admin.put(CHAT, json={"port": port})
    assert (made.status_code, made.json()["address"], made.json()["state"]) == (200, "127.0.0.1", "waiting")
    table = await waiting
    assert table is not None
    assert table.listeners == [ListenerEntry("chat", "127.0.0.1", port)]
    assert (await admin.put(CHAT, json={"port": port, "address": "::1"})).status_code == 200
    other = free_port()
    assert (await admin.put(CHAT, json={"port": other})).json()["port"] == other
    assert (await admin.delete(CHAT)).status_code == 204
    assert (await admin.delete(CHAT)).status_code == 404
    assert (await served.platform.routes.current()).listeners == []
    audit = (await admin.get("/api/v1/audit", params={"kind": "listener"})).json()["items"]
    assert [event["action"] for event in audit] == ["listener.delete", *["listener.set"] * 3]


async def test_a_port_that_somebody_has_is_refused_with_who_has_it(served: Served) -> None:
    admin, port = served.api.client(), free_port()
    await served.publish("second")
    assert (await admin.put(CHAT, json={"port": port})).status_code == 200
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        for number, words in (
            (8600, "Port 8600 is that of the console and the REST interface."),
            (8601, "Port 8601 is that of the gateway."),
            (9099, "Port 9099 is reserved by the settings (9000-9099)."),
            (port, f"Port {port} is that of the listener of 'chat'."),
            (taken, f"Port {taken} on 127.0.0.1 is taken by another program."),
        ):
            answer = await admin.put("/api/v1/listeners/second", json={"port": number})
            error = answer.json()["error"]
            assert (answer.status_code, error["message"]) == (409, words)
            assert error["details"]["fields"] == {"port": words}
    ports = (await admin.get("/api/v1/ports")).json()["items"]
    shown = {(one["first"], one["last"]): (one["use"], one["holder"]) for one in ports}
    assert shown == {
        (8600, 8600): ("control", ""),
        (8601, 8601): ("gateway", ""),
        (9000, 9099): ("reserved", ""),
        (port, port): ("listener", "chat"),
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"port": 0}, "greater than or equal"),
        ({"port": 7000, "address": "localhost"}, "an IP address such as"),
        ({"port": 7000, "address": "0.0.0.0"}, "in the clear"),
        ({"port": 7000, "tls_certificate": "/a.pem"}, "belong together"),
        ({"port": 7000, "tls_certificate": "a.pem", "tls_key": "/b.pem"}, "pattern"),
        ({"port": 7000, "tls_certificate": "/nothing.pem", "tls_key": "/b.pem"}, "/nothing.pem cannot be read"),
        ({"port": 7000, "address": "192.0.2.1", "tls_certificate": "{cert}", "tls_key": "{key}"}, "cannot listen on"),
        ({"port": 7000, "tls_certificate": "{cert}", "tls_key": "{cert}"}, "no certificate with its key"),
    ],
)
async def test_what_cannot_be_listened_at_is_refused(
    served: Served, tmp_path: Path, body: dict[str, Any], words: str
) -> None:
    names = dict(zip(("cert", "key"), map(str, Authority(tmp_path / "a").issue("IP:127.0.0.1")), strict=True))
    given = {name: value.format(**names) if isinstance(value, str) else value for name, value in body.items()}
    answer = await served.api.client().put(CHAT, json=given)
    assert answer.status_code == 422
    assert words in answer.text


async def test_a_model_that_is_not_there_has_none(served: Served) -> None:
    answer = await served.api.client().put("/api/v1/listeners/nothing", json={"port": free_port()})
    assert (answer.status_code, "neither a service nor a route" in answer.text) == (404, True)


async def test_only_the_platform_s_own_people_open_ports(served: Served) -> None:
    for role in (Role.PROJECT_ADMIN, Role.DEVELOPER, Role.AUDITOR):
        client = served.api.client(role)
        assert (await client.put(CHAT, json={"port": free_port()})).status_code == 403
        assert (await client.delete(CHAT)).status_code == 403
    assert (await served.api.client().put(CHAT, json={"port": free_port()})).status_code == 200
    seen = (await served.api.client(Role.DEVELOPER).get("/api/v1/ports")).json()["items"]
    assert {one["holder"] for one in seen} == {""}, "other projects' names stay theirs"


async def test_its_state_is_what_the_serving_processes_say(served: Served) -> None:
    admin = served.api.client()
    await admin.put(CHAT, json={"port": free_port()})
    assert await served.states() == {"chat": ("waiting", "No gateway has it yet.")}
    await served.beat({"chat": ""})
    await served.beat({"chat": "old words"}, "gw_2", slot=2, leaving=True)
    assert await served.states() == {"chat": ("open", "")}
    await served.beat({"chat": "Port 1 is taken."}, "gw_3", slot=3)
    assert await served.states() == {"chat": ("failed", "Port 1 is taken.")}
    listed = (await admin.get("/api/v1/gateways")).json()["items"]
    assert [(one["id"], one["slot"], one["leaving"]) for one in listed] == [
        ("gw_1", 1, False),
        ("gw_2", 2, True),
        ("gw_3", 3, False),
    ]


async def test_a_project_sees_those_of_what_it_may_use_alone(served: Served) -> None:
    await served.publish("theirs", "other")
    await served.publish("everybodys", "other", public=True)
    for name in ("chat", "theirs", "everybodys"):
        answer = await served.api.client().put(f"/api/v1/listeners/{name}", json={"port": free_port()})
        assert answer.status_code == 200
    assert set(await served.states(Role.VIEWER)) == {"chat", "everybodys"}
    await served.beat({"theirs": "Port 1 is taken."})
    for role, listeners in ((Role.VIEWER, {}), (Role.AUDITOR, {"theirs": "Port 1 is taken."})):
        listed = (await served.api.client(role).get("/api/v1/gateways")).json()["items"]
        assert [one["listeners"] for one in listed] == [listeners]
    assert set(await served.states(Role.AUDITOR)) == {"chat", "everybodys", "theirs"}
