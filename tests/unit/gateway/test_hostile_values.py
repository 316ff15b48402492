"""Keys, names and hosts that mean harm: they are compared, never run, kept or told back."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import secrets
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.gateway_bench import Bench
from tests.support.http_wire import request

from aicp.gateway.bodies import encode, is_all, read_fields

PATH = "/v1/chat/completions"
MODELS = b"GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\n\r\n"
WORDS = [
    "'; DROP TABLE api_keys; --",
    '" OR ""="',
    "demo' UNION SELECT digest FROM api_keys --",
    "demo\0",
    "demo%00",
    "../demo",
    "DEMO",
    " demo",
    "demo ",
    "${jndi:ldap://a/b}",
    "{{7*7}}",
    "$(id)",
    "<script>alert(1)</script>",
    "\u202edemo",
    "d\u0435mo",
    "a" * 10_000,
]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_ten_thousand_unknown_keys_leave_nothing_behind(bench: Bench) -> None:
    """Each is another one; what is remembered of keys must not grow with those that are none."""
    keys = [f"sk-{secrets.token_hex(8)}-{secrets.token_urlsafe(40)}".encode() for _ in range(500)]
    grown: list[int] = []
    tracemalloc.start()
    for turn in range(20):
        for key in keys:
            bench.client.data_received(MODELS % (b"%d" % turn + key))
        assert bench.client_wire.written.count(b"HTTP/1.1 401 ") == len(keys)
        bench.client_wire.written = b""
        gc.collect()
        grown.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # the least of several: other threads of the test's process have memory of their own
    assert min(grown[-5:]) - min(grown[1:6]) < 64 * 1024
    assert bench.metrics.wrong_keys == 20 * len(keys)
    bench.client.data_received(MODELS % bench.key.encode())
    assert bench.client_wire.written.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("word", WORDS)
async def test_a_name_that_is_no_model_s_is_only_unknown(bench: Bench, word: str) -> None:
    bench.client.data_received(request("POST", PATH, {"model": word, "messages": [{}]}, key=bench.key))
    head, _, body = bench.client_wire.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"content-type: application/json" in head
    error = json.loads(body)["error"]
    assert error["code"] == "model_not_found"
    assert len(error["message"]) < 300
    assert not bench.engine_wire.written
    (record,) = bench.records()
    assert (record["service"], record["outcome"]) == ("", "rejected")


@pytest.mark.parametrize("word", WORDS[:5])
async def test_such_words_are_the_engine_s_to_read_where_they_are_content(bench: Bench, word: str) -> None:
    bench.ask(PATH, messages=[{"role": "user", "content": word}], user=word)
    body = json.loads(bench.engine_wire.written.partition(b"\r\n\r\n")[2])
    assert (body["messages"][0]["content"], body["user"]) == (word, word)


@pytest.mark.parametrize(
    "lines",
    [
        b"host: evil.example\r\n",
        b"host: a\r\nhost: evil.example\r\n",
        b"host: a@evil.example\r\n",
        b"host: 127.0.0.1:1/internal\r\n",
        b"x-forwarded-host: evil.example\r\nx-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\nhost: a\r\n",
        b"x-original-url: /metrics\r\nx-rewrite-url: /metrics\r\nhost: a\r\n",
    ],
)
async def test_what_a_request_says_of_its_way_opens_nothing(bench: Bench, lines: bytes) -> None:
    """Neither a host nor an address is believed: who may read what depends on the connection and the key."""
    bench.client.data_received(b"GET /metrics HTTP/1.1\r\n" + lines + b"\r\n")
    bench.client.data_received(b"GET /healthz HTTP/1.1\r\n" + lines + b"\r\n")
    await settled()
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", bench.client_wire.written) == [b"401", b"200"]
    assert b"evil" not in bench.client_wire.written


@pytest.mark.parametrize("line", [b"a:\r\n", b"authorization: Bearer x\r\n", b"x-%d: " + b"y" * 60 + b"\r\n"])
async def test_a_flood_of_header_lines_is_refused_before_it_is_held(bench: Bench, line: bytes) -> None:
    bench.client.data_received(b"GET /v1/models HTTP/1.1\r\nhost: a\r\n")
    tracemalloc.start()
    sent = 0
    while not bench.client_wire.written and sent < 1 << 20:
        bench.client.data_received(line * 50)
        sent += len(line) * 50
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert bench.client_wire.written.startswith(b"HTTP/1.1 431 ")
    assert sent < 100_000
    assert held < 1 << 19


_TEXTS = st.text(st.sampled_from('aé"\\{}[]:, '), max_size=3)


@given(
    st.lists(st.tuples(_TEXTS, st.recursive(_TEXTS | st.integers(0, 20), st.lists, max_leaves=3)), max_size=5),
    st.sampled_from([(",", ":"), (", ", ":"), (",", ": "), (", ", ": "), (",", " :")]),
    st.booleans(),
)
def test_a_body_is_all_of_its_fields_only_where_it_is_written_in_no_other_way(
    pairs: list[tuple[str, Any]], separators: tuple[str, str], ascii_only: bool
) -> None:
    def written(value: Any) -> str:
        return json.dumps(value, separators=separators, ensure_ascii=ascii_only)

    between, colon = separators
    text = ("{" + between.join(written(name) + colon + written(value) for name, value in pairs) + "}").encode()
    fields = read_fields(text)
    if is_all(fields, text):
        assert encode(fields) == text
    plain = all(name.isascii() and not {*name} & {*'"\\'} for name, _ in pairs)
    if pairs and plain and len(dict(pairs)) == len(pairs) and separators == (",", ":"):
        assert is_all(fields, text)


async def test_a_body_that_needs_no_change_goes_on_as_it_came_and_one_with_a_field_twice_does_not(bench: Bench) -> None:
    def sent(body: bytes) -> bytes:
        bench.client.data_received(request("POST", PATH, body, key=bench.key))
        wire, bench.engine_wire.written = bench.engine_wire.written, b""
        bench.answer()
        return wire.partition(b"\r\n\r\n")[2]

    plain = b'{"model":"demo","messages":[{"role":"user","content":"a \\u00e9 \xc3\xa9"}],"user":"x"}'
    assert sent(plain) == plain
    twice = b'{"messages":[{"content":"no"}],"model":"demo","user":"x","messages":[{"content":"yes"}]}'
    assert sent(twice) == b'{"messages":[{"content":"yes"}],"model":"demo","user":"x"}'
