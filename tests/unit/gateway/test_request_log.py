"""Bodies of requests: kept where a project wants them, redacted, bounded, once, and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.clock import FakeClock
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, run_gateway, until
from tests.support.http_wire import Asked, read_head, request
from tests.support.openai_engine import Engine, Wire, answer_normally

from aicp.core.route import RequestLogEntry, ScopeEntry
from aicp.gateway import request_log
from aicp.gateway.answer import Witness
from aicp.gateway.body_segments import BodySegments
from aicp.gateway.record import Record
from aicp.gateway.request_log import RequestLog

PATH = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Write to ann@example.org"}]}
RULE = RequestLogEntry("all", redact=["emails"])


async def use(gateway: GatewayProcess, rule: RequestLogEntry | None, etag: str = "logged") -> None:
    """Gives the key's project a rule."""
    assert gateway.control.table is not None
    projects = [ScopeEntry("default", log=rule), ScopeEntry("other")]
    gateway.control.publish(replace(gateway.control.table, etag=etag, projects=projects))
    await gateway.with_table(etag)


def text_of(record: dict[str, Any], name: str) -> str:
    return zlib.decompress(base64.b64decode(record[name])).decode()


async def kept(control: ControlPlane, count: int) -> list[dict[str, Any]]:
    await until(lambda: len(control.bodies) >= count, 15)
    return control.bodies


async def test_without_a_rule_nothing_is_collected(gateway: GatewayProcess, control: ControlPlane) -> None:
    assert (await gateway.ask(PATH, CHAT)).status == 200
    await gateway.recorded(1)
    await gateway.stop()
    assert not control.paths["/internal/v1/request-bodies"]
    assert not list(gateway.directory.glob("requests-*"))


async def test_bodies_of_a_request_are_kept_redacted(gateway: GatewayProcess, control: ControlPlane) -> None:
    await use(gateway, RULE)
    answer = await gateway.ask(PATH, CHAT | {"user": gateway.key})
    (record,) = await kept(control, 1)
    assert record["request_id"] == answer.headers["x-request-id"]
    assert (record["project"], record["service"], record["outcome"]) == ("default", "demo", "ok")
    shown = {
        **CHAT,
        "messages": [{"role": "user", "content": "Write to [redacted:email]"}],
        "user": "[redacted:secret]",
    }
    assert json.loads(text_of(record, "request")) == shown
    assert json.loads(text_of(record, "answer"))["choices"][0]["message"]["content"] == "Hello to you"
    assert record["answer_bytes"] == len(answer.body)
    assert gateway.key not in json.dumps(control.bodies)


async def test_a_stream_is_kept_as_its_text(gateway: GatewayProcess, control: ControlPlane) -> None:
    await use(gateway, RULE)
    await gateway.ask(PATH, CHAT | {"stream": True})
    (record,) = await kept(control, 1)
    assert json.loads(text_of(record, "answer"))["choices.0.content"] == "Hello to you"
    assert not record.get("answer_cut")


async def test_a_client_that_leaves_leaves_what_it_had_got(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    async def half(wire: Wire, asked: Asked) -> None:
        await wire.start()
        await wire.event({"choices": [{"index": 0, "delta": {"content": "Half an answ"}}]})
        await asyncio.sleep(60)

    engine.script = half
    await use(gateway, RULE)
    reader, writer = await gateway.connect()
    writer.write(request("POST", PATH, CHAT | {"stream": True}, key=gateway.key))
    await read_head(reader)
    await reader.readuntil(b"Half an answ")
    writer.transport.abort()
    (record,) = await kept(control, 1)
    assert (record["outcome"], record["answer_cut"]) == ("canceled", True)
    assert json.loads(text_of(record, "answer"))["choices.0.content"] == "Half an"


async def test_of_errors_only_the_failed_are_kept(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    await use(gateway, replace(RULE, bodies="errors"))
    assert (await gateway.ask(PATH, CHAT)).status == 200
    refused = await gateway.ask(PATH, CHAT | {"model": "nobody"})
    wrong = await gateway.ask(PATH, b"<x/>", headers={"content-type": "text/xml"})
    records = await kept(control, 2)
    await gateway.stop()
    found = {record["request_id"]: record for record in records}
    assert set(found) == {refused.headers["x-request-id"], wrong.headers["x-request-id"]}
    assert json.loads(text_of(found[refused.headers["x-request-id"]], "answer")) == refused.json()


async def test_a_share_of_none_keeps_none_and_a_long_body_is_cut(
    gateway: GatewayProcess, control: ControlPlane
) -> None:
    await use(gateway, replace(RULE, share=0.0))
    await gateway.ask(PATH, CHAT)
    await use(gateway, replace(RULE, max_body_bytes=300), "short")
    await gateway.ask(PATH, CHAT | {"messages": [{"role": "user", "content": "many words " * 10_000}]})
    (record,) = await kept(control, 1)
    assert len(text_of(record, "request")) <= 300
    assert (record["request_cut"], record["request_bytes"] > 100_000) == (True, True)


async def test_a_killed_gateway_ships_once_what_it_had_written(
    control: ControlPlane, secret: str, tmp_path: Path
) -> None:
    """Also where the control plane had taken a batch and its answer was lost."""
    async with run_gateway(tmp_path / "gateway", control, secret) as gateway:
        await use(gateway, RULE)
        control.refuse_bodies = True
        sent = [(await gateway.ask(PATH, CHAT)).headers["x-request-id"] for _ in range(20)]
        await until(lambda: len(_written(gateway.directory)) == len(sent), 15)
        control.refuse_bodies, control.lose_body_answers = False, 2
        assert gateway.process is not None
        os.kill(gateway.process.pid, signal.SIGKILL)
        await gateway.stop(signal.SIGKILL)
        await gateway.start()
        await kept(control, len(sent))
        await gateway.ask(PATH, CHAT)
        await kept(control, len(sent) + 1)
        assert sorted(sent) == sorted(record["request_id"] for record in control.bodies[: len(sent)])
        await gateway.stop()
        assert len(control.bodies) == len(sent) + 1
        assert not _written(gateway.directory)
        assert secret not in "".join(path.read_text() for path in gateway.directory.glob("requests-*"))


async def test_bodies_wait_for_the_control_plane_and_no_request_waits_for_them(
    gateway: GatewayProcess, control: ControlPlane
) -> None:
    await use(gateway, RULE)
    control.refuse_bodies = True
    assert [(await gateway.ask(PATH, CHAT)).status for _ in range(5)] == [200] * 5
    assert await gateway.stop() == 0
    assert len(_written(gateway.directory)) == 5
    assert not control.bodies


@pytest.mark.parametrize("after", [{}, {"stream": True}])
async def test_an_engine_that_breaks_off_leaves_its_part(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, after: dict[str, Any]
) -> None:
    async def broken(wire: Wire, asked: Asked) -> None:
        if not asked.json().get("stream"):
            return await wire.cut()
        await wire.start()
        await wire.event({"choices": [{"index": 0, "delta": {"content": "Part of"}}]})
        await wire.cut()

    engine.script = broken
    await use(gateway, replace(RULE, bodies="errors"))
    await gateway.ask(PATH, CHAT | after)
    engine.script = answer_normally
    (record,) = await kept(control, 1)
    assert record["outcome"] in ("engine_error", "unavailable")
    assert "error" in text_of(record, "answer")
    assert ("Part" in text_of(record, "answer")) == bool(after)
    assert "Part of" not in text_of(record, "answer"), "the last word may be the beginning of a secret"


def _written(directory: Path) -> list[str]:
    lines = [line for path in directory.glob("requests-*.log") for line in path.read_bytes().split(b"\n")[:-1]]
    return [json.loads(line)["request_id"] for line in lines]


async def test_what_finds_no_room_is_dropped_and_counted_and_room_comes_back(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "_MOST_HELD_BYTES", 10_000)
    log = RequestLog(BodySegments(tmp_path, reserve_bytes=0), clock, lambda: 0.0)

    def watch(size: int) -> tuple[Witness, ...]:
        seen: Any = SimpleNamespace(witnesses=())
        asked: Any = SimpleNamespace(headers={}, parts=[b'"' + b"w " * (size // 2) + b'"'])
        log.watch(RULE, asked, seen, SimpleNamespace(witnesses=()))  # type: ignore[arg-type]
        return seen.witnesses

    watched = [watch(3000) for _ in range(4)]
    assert [len(one) for one in watched] == [1, 1, 0, 0]
    (first,), (second,) = watched[:2]
    first.saw(b"application/json", b'"' + b"x " * 2000)
    first.saw(b"application/json", b'behind a gap"')
    for number, witness in enumerate((first, second)):
        witness.closed(Record(f"req_{number}", "k", "p", "s", "/v1/x", False, clock.now(), outcome="ok"))
        witness.ended(whole=True)
    await log.write()
    lines = [json.loads(line) for path in tmp_path.glob("*.log") for line in path.read_bytes().splitlines()]
    assert [(line["request_id"], line.get("answer")) for line in lines] == [("req_0", None), ("req_1", None)]
    assert (lines[0]["answer_cut"], lines[0]["answer_bytes"]) == (True, 4014)
    assert log.dropped == 2
    assert len(watch(3000)) == 1
    await log.write(most_seconds=-1.0)


async def test_an_answer_whose_end_is_never_told_is_kept_after_a_while(tmp_path: Path, clock: FakeClock) -> None:
    """A client may leave when its request is accounted for and the last of its answer has not come."""
    log = RequestLog(BodySegments(tmp_path, reserve_bytes=0), clock, lambda: 0.0)
    asked: Any = SimpleNamespace(headers={}, parts=[b'"hello there"'])
    seen: Any = SimpleNamespace(witnesses=())
    log.watch(RULE, asked, seen, SimpleNamespace(witnesses=()))  # type: ignore[arg-type]
    (witness,) = seen.witnesses
    witness.saw(b"application/json", b'"well"')
    witness.closed(Record("req_1", "k", "p", "s", "/v1/x", False, clock.now(), outcome="ok"))
    running = asyncio.ensure_future(log.run())
    clock.advance(121)
    await until(lambda: _written(tmp_path) == ["req_1"])
    running.cancel()
