"""A few thousand random clients; `make fuzz` has more of them."""

from __future__ import annotations

import pytest
from tests.support.gateway_bench import Bench
from tools.fuzz_gateway import fuzz

PATH = "/v1/chat/completions"


async def test_what_random_clients_send_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    played, found = await fuzz("unit", range(1500), lambda: True)
    assert (played, found) == (1500, 0), capsys.readouterr().out


@pytest.mark.parametrize(
    "head",
    [
        b"POST %b HTTP/1.1\r\ntransfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        b"POST %b HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n",
        b"POST %b HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        b"POST %b HTTP/1.0\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n",
        b"POST %b\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n",
    ],
)
async def test_found_by_them(bench: Bench, head: bytes) -> None:
    """The parser reads these bodies as chunked; another one before it may not."""
    key = b"host: a\r\nauthorization: Bearer %b\r\n" % bench.key.encode()
    body = b'{"model":"demo","messages":[{"role":"user","content":"Hi"}]}'
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    bench.client.data_received(
        head % PATH.encode() + key + b"\r\n" + chunked + b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    )
    assert bench.client_wire.written.startswith(b"HTTP/1.1 400 ")
    assert bench.client_wire.written.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in bench.client_wire.written
    assert not bench.engine_wire.written


async def test_a_key_that_comes_twice_is_none(bench: Bench) -> None:
    """Whoever looks at the first one would let another in than who looks at the last."""
    head = b"GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-x\r\nauthorization: Bearer %b\r\n\r\n"
    bench.client.data_received(head % bench.key.encode())
    assert bench.client_wire.written.startswith(b"HTTP/1.1 401 ")
