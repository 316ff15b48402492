"""HEAD, OPTIONS and methods that a path does not take."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.gateway_process import GatewayProcess
from tests.support.http_wire import read_answer, read_head, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/v1/models", 200),
        ("/v1/models/demo", 200),
        ("/v1/models/nothing", 404),
        ("/v1/nothing", 404),
        ("/metrics", 401),
    ],
)
async def test_head_is_get_without_its_body(gateway: GatewayProcess, path: str, status: int, keyed: bool) -> None:
    """On one connection, so that a body would be taken for the next answer."""
    key = gateway.key if keyed else ""
    expected = 401 if not keyed and path.startswith("/v1/models") else status
    reader, writer = await gateway.connect()
    writer.write(b"".join(request(method, path, key=key) for method in ("HEAD", "GET", "HEAD", "GET")))
    for _ in range(2):
        head, whole = await read_head(reader), await read_answer(reader)
        assert head.status == whole.status == expected
        assert whole.body
        assert int(head.headers["content-length"]) == len(whole.body)
        assert head.headers["content-type"] == whole.headers["content-type"]
    writer.write(request("GET", "/healthz", headers={"connection": "close"}))
    assert (await read_answer(reader)).status == 200
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/healthz", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/v1/models", "GET, HEAD"),
        ("/v1/models/demo", "GET, HEAD"),
        ("/v1/chat/completions", "POST"),
        ("/v1/messages", "POST"),
        ("/v1/responses", "POST"),
    ],
)
@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
async def test_a_method_that_a_path_does_not_take(
    gateway: GatewayProcess, path: str, allowed: str, method: str
) -> None:
    answer = await gateway.ask(path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert allowed in answer.json()["error"]["message"]
    assert ("type" in answer.json()) is (path == "/v1/messages")


async def test_head_of_what_only_takes_post_has_no_body_either(gateway: GatewayProcess) -> None:
    reader, writer = await gateway.connect()
    writer.write(request("HEAD", "/v1/chat/completions", key=gateway.key) + request("GET", "/healthz"))
    head = await read_head(reader)
    assert (head.status, head.headers["allow"]) == (405, "POST")
    assert (await read_answer(reader)).status == 200
    writer.close()
