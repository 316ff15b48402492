"""Files and batches pass through to the control plane: in their key's name and never held whole."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, until
from tests.support.http_wire import read_answer, read_head, request

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
MIB = 2**20


async def test_a_request_goes_on_in_the_name_of_its_key_alone(gateway: GatewayProcess, control: ControlPlane) -> None:
    forged = {"x-aicp-project": "other", "x-aicp-key": "key_other", "cookie": "a=b"}
    answer = await gateway.ask("/v1/batches?limit=2&after=batch_1", method="GET", headers=forged)
    assert answer.status == 200
    assert answer.json() == {"size": 0}
    [asked] = control.passed_on
    assert (asked.method, asked.path, asked.query) == ("GET", "/internal/v1/batches", "limit=2&after=batch_1")
    assert asked.headers["x-aicp-project"] == "default"
    assert asked.headers["x-aicp-key"] == f"key_{gateway.key.split('-')[1]}"
    assert gateway.key not in asked.headers.values()
    assert "cookie" not in asked.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/files/../internal/v1/routes", 404),
        ("GET", "/v1/files/%2e%2e/routes", 404),
        ("GET", "/v1/files/", 404),
        ("GET", "/v1/files/a/b", 404),
        ("GET", "/v1/filesystem", 404),
        ("GET", "/v1/files/a?x=/../..", 200),
        ("PUT", "/v1/files", 405),
        ("POST", "/v1/files/a", 405),
        ("DELETE", "/v1/batches/a", 405),
    ],
)
async def test_no_other_path_is_reached(
    gateway: GatewayProcess, control: ControlPlane, method: str, path: str, status: int
) -> None:
    assert (await gateway.ask(path, method=method)).status == status
    assert len(control.passed_on) == (status == 200)


async def test_without_a_key_nothing_is_passed_on(gateway: GatewayProcess, control: ControlPlane) -> None:
    answer = await gateway.ask("/v1/files", b"x" * MIB, key="sk-wrong")
    assert answer.status == 401
    assert not control.passed_on


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_beyond_a_call_s_limit_passes(
    gateway: GatewayProcess, control: ControlPlane, chunked: bool
) -> None:
    piece, count = bytes(range(256)) * 4096, 48
    reader, writer = await gateway.connect()
    framing = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(len(piece) * count)}
    head = request("POST", "/v1/files", key=gateway.key, headers={"content-type": "multipart/form-data; b", **framing})
    writer.write(head.replace(b"content-length: 0\r\n", b"") if chunked else head)
    for _ in range(count):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
    answer = await asyncio.wait_for(read_answer(reader), 20)
    assert (answer.status, answer.json()) == (200, {"size": len(piece) * count})
    assert control.passed_on[0].body == piece * count
    assert control.passed_on[0].headers["content-type"] == "multipart/form-data; b"
    assert answer.headers["connection"] == "close"
    writer.close()


async def test_a_refusal_comes_before_the_body_has_ended(gateway: GatewayProcess, control: ControlPlane) -> None:
    control.refuse_files = True
    reader, writer = await gateway.connect()
    writer.write(request("POST", "/v1/files", key=gateway.key, headers={"content-length": str(100 * MIB)}))
    writer.write(b"x" * MIB)
    answer = await asyncio.wait_for(read_answer(reader), 10)
    assert answer.status == 413
    assert answer.json()["error"] == {
        "message": "It does not fit. Remove some.",
        "type": "invalid_request_error",
        "param": None,
        "code": "file_quota",
    }
    writer.write(b"x" * MIB)  # what is still on its way harms nobody
    await writer.drain()
    writer.close()


async def test_a_large_answer_passes_as_it_is(gateway: GatewayProcess, control: ControlPlane) -> None:
    control.file = bytes(range(256)) * 4096 * 40
    answer = await gateway.ask("/v1/files/file_1/content", method="GET")
    assert answer.status == 200
    assert answer.body == control.file


async def test_a_client_that_takes_nothing_holds_nothing(gateway: GatewayProcess, control: ControlPlane) -> None:
    control.file = b"x" * (100 * MIB)
    before = gateway.pss_mb()
    reader, writer = await gateway.connect()
    writer.write(request("GET", "/v1/files/file_1/content", key=gateway.key))
    await asyncio.wait_for(read_head(reader), 10)
    reader._transport.pause_reading()  # pyright: ignore[reportAttributeAccessIssue]
    for _ in range(5):
        assert (await gateway.ask("/v1/models", method="GET")).status == 200
    assert gateway.pss_mb() - before < 30
    writer.close()


async def test_a_client_that_leaves_ends_it_at_control_too(gateway: GatewayProcess, control: ControlPlane) -> None:
    _, writer = await gateway.connect()
    writer.write(request("POST", "/v1/files", key=gateway.key, headers={"content-length": str(MIB)}) + b"x" * 1000)
    await writer.drain()
    await until(lambda: control.heads["/internal/v1/files"] == 1)
    writer.transport.abort()
    await until(lambda: control.cut == 1)
    assert not control.passed_on


async def test_answers_of_one_connection_keep_their_order(gateway: GatewayProcess, control: ControlPlane) -> None:
    reader, writer = await gateway.connect()
    body = b"y" * (3 * MIB)
    writer.write(request("GET", "/v1/files", key=gateway.key))
    writer.write(request("POST", "/v1/chat/completions", CHAT, key=gateway.key))
    writer.write(request("POST", "/v1/files", body, key=gateway.key))
    assert (await read_answer(reader)).json() == {"size": 0}
    assert (await read_answer(reader)).json()["choices"]
    assert (await asyncio.wait_for(read_answer(reader), 10)).json() == {"size": len(body)}
    writer.close()


async def test_without_control_it_is_said_and_models_are_served(gateway: GatewayProcess, control: ControlPlane) -> None:
    await control.stop()
    answer = await gateway.ask("/v1/files", b"x" * (2 * MIB))
    assert answer.status == 503
    assert "control plane does not answer" in answer.json()["error"]["message"]
    assert int(answer.headers["retry-after"]) > 0
    assert (await gateway.ask("/v1/batches", method="GET")).status == 503
    assert (await gateway.ask("/v1/chat/completions", CHAT)).status == 200
    await control.start()
    assert (await gateway.ask("/v1/batches", method="GET")).status == 200
