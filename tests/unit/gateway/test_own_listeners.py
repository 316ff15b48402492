"""A model's own address: that model alone, with the same keys; opened, closed, handed over and told in words."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import Authority
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, free_port, route_to, run_gateway, until
from tests.support.http_wire import Answer, read_answer, request
from tests.support.openai_engine import Engine, Wire

from aicp.core.route import ListenerEntry
from aicp.gateway.forms import Form
from aicp.gateway.own_listeners import model_here

PATH = "/v1/chat/completions"
WITHOUT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
ETAGS = iter(range(100, 1000))


class Own:
    """A gateway and the listeners that the table gives its models."""

    def __init__(self, gateway: GatewayProcess, control: ControlPlane) -> None:
        self.gateway, self.control = gateway, control

    async def publish(self, *listeners: ListenerEntry) -> None:
        assert self.control.table is not None
        etag = str(next(ETAGS))
        self.control.publish(replace(self.control.table, etag=etag, listeners=list(listeners)))
        await self.gateway.with_table(etag)

    def said(self, model: str = "demo") -> str | None:
        """What the last heartbeat says of a listener: empty for open, None before it is known."""
        return self.control.beats[-1]["listeners"].get(model)

    async def opened(self, model: str = "demo") -> None:
        await until(lambda: self.said(model) == "")

    async def ask(self, port: int, path: str = PATH, body: Any = b"", **options: Any) -> Answer:
        method = options.pop("method", "POST")
        tls = options.pop("tls", None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, limit=2**24)
        try:
            writer.write(request(method, path, body, **{"key": self.gateway.key, **options}))
            return await asyncio.wait_for(read_answer(reader), 20)
        finally:
            writer.close()


@pytest.fixture
async def own(tmp_path: Path, control: ControlPlane, secret: str) -> AsyncIterator[Own]:
    async with run_gateway(tmp_path / "g", control, secret, limits={"leave_idle_seconds": 1.0}) as gateway:
        yield Own(gateway, control)


async def test_it_serves_its_model_alone_and_requests_need_not_name_it(own: Own, engine: Engine) -> None:
    port = free_port()
    await own.publish(ListenerEntry("demo", "127.0.0.1", port))
    await own.opened()
    for body in (WITHOUT, WITHOUT | {"model": "demo"}):
        answer = await own.ask(port, body=body)
        assert (answer.status, answer.json()["model"]) == (200, "demo")
        assert engine.asked[-1].json()["model"] == "inner"
    for name in ("embed", "foreign", "nothing"):
        refused = await own.ask(port, body=WITHOUT | {"model": name})
        assert (refused.status, refused.json()["error"]["code"]) == (404, "model_not_found")
    listed = (await own.ask(port, "/v1/models", method="GET")).json()["data"]
    assert [model["id"] for model in listed] == ["demo"]
    files = await own.ask(port, "/v1/files", method="GET")
    assert (files.status, "alone" in files.json()["error"]["message"]) == (404, True)
    assert (await own.ask(port, body=WITHOUT, key="sk-wrong")).status == 401
    assert (await own.gateway.ask(PATH, WITHOUT)).status == 400, "at the gateway's own address it must be named"
    records = await own.gateway.recorded(6)
    assert {record["service"] for record in records if record["outcome"] == "ok"} == {"demo"}


async def test_a_port_that_is_taken_is_told_in_words_and_tried_again(own: Own) -> None:
    free = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        await own.publish(ListenerEntry("demo", "127.0.0.1", port), ListenerEntry("embed", "127.0.0.1", free))
        await until(lambda: own.said() == f"Port {port} on 127.0.0.1 is taken by another program.")
        await own.opened("embed")
        assert (await own.ask(free, "/v1/embeddings", {"input": "a"})).status == 200
    await own.opened()
    assert (await own.ask(port, body=WITHOUT)).status == 200


async def test_one_that_is_gone_from_the_table_is_closed(own: Own) -> None:
    port = free_port()
    await own.publish(ListenerEntry("demo", "127.0.0.1", port))
    await own.opened()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await own.publish()
    await until(lambda: not _accepts(port))
    writer.write(request("POST", PATH, WITHOUT, key=own.gateway.key))
    answer = await read_answer(reader)
    assert (answer.status, answer.headers["connection"]) == (200, "close"), "what was on its way is served, as the last"
    assert await reader.read() == b""
    writer.close()


async def test_its_certificate_may_be_replaced_and_a_broken_one_is_left_aside(own: Own, tmp_path: Path) -> None:
    names, port = "IP:127.0.0.1", free_port()
    first, second = Authority(tmp_path / "1", "One"), Authority(tmp_path / "2", "Two")
    shown = (tmp_path / "server.pem", tmp_path / "server.key")

    def show(pair: tuple[Path, Path]) -> None:
        for source, target in zip(pair, shown, strict=True):
            shutil.copy(source, target)

    async def believed(authority: Authority) -> bool:
        tls = ssl.create_default_context(cafile=str(authority.file))
        with suppress(ssl.SSLError):
            return (await own.ask(port, body=WITHOUT, tls=tls)).status == 200
        return False

    entry = ListenerEntry("demo", "127.0.0.1", port, *(str(path) for path in shown))
    await own.publish(entry)
    await until(lambda: bool(own.said()))
    assert own.said() == f"{shown[0]} cannot be read by the gateway (No such file or directory)."
    show(first.issue(names))
    await own.opened()
    assert await believed(first)
    shown[0].write_text("nothing")
    await until(lambda: "left aside" in (own.said() or ""))
    assert await believed(first)
    show(second.issue(names))
    await until(lambda: own.said() == "")
    assert await believed(second)
    assert not await believed(first)


async def test_it_is_handed_over_too(own: Own, engine: Engine) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def held(wire: Wire, asked: Any) -> None:
        begun.set()
        await go_on.wait()
        await wire.json({"id": "c", "object": "chat.completion", "choices": [], "usage": {}})

    port = free_port()
    await own.publish(ListenerEntry("demo", "127.0.0.1", port))
    await own.opened()
    engine.script = held
    waiting = asyncio.ensure_future(own.ask(port, body=WITHOUT))
    await begun.wait()
    await own.gateway.restart()
    go_on.set()
    assert (await waiting).status == 200
    assert (await own.ask(port, body=WITHOUT)).status == 200
    await asyncio.wait_for(own.gateway.former[0].wait(), 20)
    assert (await own.ask(port, body=WITHOUT)).status == 200


async def test_a_route_that_came_later_is_served_there(own: Own, engine: Engine) -> None:
    port = free_port()
    await own.publish(ListenerEntry("later", "127.0.0.1", port))
    await own.opened("later")
    assert (await own.ask(port, body=WITHOUT)).status == 404
    await own.gateway.add_route(route_to([engine], "later"))
    assert (await own.ask(port, body=WITHOUT)).status == 200


def _accepts(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_a_form_without_a_model_gets_one_before_the_engine_sees_it() -> None:
    kind = b"multipart/form-data; boundary=XX"
    file = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
    form = Form(file + b"--XX--\r\n", kind)
    assert model_here("demo", form) == "demo"
    sent = Form(form.body("inner"), kind)
    assert {part.name: sent.value(part) for part in sent.parts} == {"model": b"inner", "file": b"RIFF"}
