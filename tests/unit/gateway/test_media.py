"""Media by address: fetched where that is allowed, by every rule against forged requests, and never by an engine."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, run_gateway, until
from tests.support.http_wire import request
from tests.support.openai_engine import Engine
from tests.support.web_server import PNG, WebServer, answer, redirect, run_web_server

from aicp.gateway.bodies import read_fields
from aicp.gateway.config import MediaRules
from aicp.gateway.errors import ApiError
from aicp.gateway.links import LinkedMedia, read_media
from aicp.gateway.media import Fetcher

PATH = "/v1/chat/completions"
HERE = ("127.0.0.1/32",)
DATA = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
PUBLIC = "93.184.215.14"


def chat(*links: str, kind: str = "image_url") -> dict[str, Any]:
    parts = [{"type": "text", "text": "What is it?"}, *({"type": kind, kind: {"url": link}} for link in links)]
    return {"model": "demo", "messages": [{"role": "user", "content": parts}], "temperature": 1.0}


def found_in(body: dict[str, Any]) -> LinkedMedia:
    with pytest.raises(LinkedMedia) as caught:
        read_media(read_fields(json.dumps(body).encode()))
    return caught.value


async def fetch(body: dict[str, Any], **rules: Any) -> dict[str, Any]:
    fetcher = Fetcher(MediaRules(**{"allowed_networks": HERE, "seconds": 5.0, **rules}))
    return json.loads(await fetcher.fill(found_in(body), "key"))


async def refused(body: dict[str, Any], **rules: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await fetch(body, **rules)
    assert (caught.value.status, caught.value.param) == (400, "messages")
    return caught.value


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    """A web server on this machine, with one picture."""
    async with run_web_server() as server:
        server.replies["/a.png"] = answer()
        yield server


async def test_every_link_is_replaced_by_its_medium(web: WebServer) -> None:
    web.replies["/b"] = redirect("/a.png?x=%20y")
    web.replies["/c.wav"] = answer(b"RIFF", "Audio/WAV; rate=8000")
    body = chat(web.url("/a.png"), web.url("/b"))
    body["messages"][0]["content"].append({"type": "audio_url", "audio_url": web.url("/c.wav")})
    filled = await fetch(body)
    content = filled["messages"][0]["content"]
    assert [part.get("image_url") for part in content[1:3]] == [{"url": DATA}] * 2
    assert content[3]["audio_url"] == "data:audio/wav;base64,UklGRg=="
    assert {**filled, "messages": 0} == {**body, "messages": 0}
    assert {asked.headers["host"] for asked in web.asked} == {f"127.0.0.1:{web.port}"}
    assert all(
        asked.headers.keys() <= {"host", "accept", "accept-encoding", "user-agent", "connection"} for asked in web.asked
    )


async def test_a_source_of_anthropic_s_becomes_one_of_base64(web: WebServer) -> None:
    source = {"type": "url", "url": web.url("/a.png")}
    filled = await fetch({"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]})
    assert filled["messages"][0]["content"][0]["source"] == {
        "type": "base64",
        "media_type": "image/png",
        "data": base64.b64encode(PNG).decode(),
    }


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "10.0.0.1",
        "100.64.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "169.254.169.254",
        "metadata.google.internal",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "user@127.0.0.1",
        "no-such-name.invalid",
    ],
)
async def test_an_address_inside_is_refused_in_the_same_words_as_one_that_is_not_there(
    web: WebServer, host: str
) -> None:
    error = await refused(chat(f"http://{host}:{web.port}/a.png"), allowed_networks=())
    assert error.code == "url_not_allowed"
    assert error.message.partition("may not")[2] == (
        " be fetched: it must lead, over every redirect, to public addresses by http or https, or to one that the "
        "administrator lists in media_allowed_networks."
    )
    assert not web.asked


async def test_a_metadata_address_is_refused_even_where_it_is_listed() -> None:
    error = await refused(chat("http://169.254.169.254/latest"), allowed_networks=("0.0.0.0/0",))
    assert error.code == "url_not_allowed"


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/", "http://[::1]:9/", "http://10.1.2.3/a.png", "file:///etc/passwd", "gopher://x"],
)
async def test_a_redirect_to_an_address_inside_is_refused(web: WebServer, target: str) -> None:
    web.replies["/r"] = redirect(target)
    assert (await refused(chat(web.url("/r")))).code == "url_not_allowed"


async def test_redirects_end(web: WebServer) -> None:
    web.replies["/r"] = redirect("/r")
    error = await refused(chat(web.url("/r")))
    assert (error.code, len(web.asked)) == ("media_not_fetched", 4)


async def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(web: WebServer) -> None:
    """A second look-up would be answered with an address inside (DNS rebinding); there is none."""
    answers, connected = [[PUBLIC], ["127.0.0.1"]], list[tuple[str, int]]()

    async def resolver(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    async def connect(host: str, port: int, **options: Any) -> Any:
        connected.append((host, port))
        return await asyncio.open_connection("127.0.0.1", web.port, **options)

    fetcher = Fetcher(MediaRules(), resolver, connect)
    await fetcher.fill(found_in(chat("http://pictures.example/a.png")), "key")
    assert connected == [(PUBLIC, 80)]
    assert web.asked[0].headers["host"] == "pictures.example"
    with pytest.raises(ApiError, match="may not be fetched"):
        await fetcher.fill(found_in(chat("http://pictures.example/a.png")), "key")
    assert len(connected) == 1


async def test_all_addresses_of_a_name_must_be_allowed() -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return [PUBLIC, "10.0.0.1"]

    with pytest.raises(ApiError, match="may not be fetched"):
        await Fetcher(MediaRules(), resolver).fill(found_in(chat("https://two.example/")), "key")


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        await writer.drain()


async def endless_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


async def endless_trailer(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx: ")
    while True:
        writer.write(b"y" * 1000)
        await writer.drain()


async def trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answer(bytes(5000)), "more than 4000 bytes"),
        (
            answer(b"", headers="x: y\r\n").replace(b"content-length: 0", b"content-length: 99999999999999999999"),
            "web server",
        ),
        (answer().replace(b"content-length: 72", b"content-length: -1"), "web server"),
        (endless, "more than 4000 bytes"),
        (endless_head, "web server"),
        (endless_trailer, "web server"),
        (trickle, "did not arrive within 1 s"),
        (answer(status=404), "answers 404"),
        (answer(status=206), "answers 206"),
        (redirect(""), "answers 302"),
        (answer(kind="text/html"), "'text/html', which is no image"),
        (answer(kind="image/svg+xml"), "no image"),
        (answer(kind="image/png\x01"), "web server"),
        (answer(kind='image/"><script>'), "no image"),
        (answer(headers="content-encoding: gzip\r\n"), "compresses"),
        (answer()[:-10], "web server"),
        (b"", "web server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "web server"),
        (b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", "web server"),
    ],
)
async def test_what_is_too_much_too_slow_or_no_medium_is_refused(web: WebServer, reply: Any, why: str) -> None:
    web.replies["/a.png"] = reply
    error = await refused(chat(web.url("/a.png")), seconds=1.0, bytes_each=4000)
    assert error.code == "media_not_fetched"
    assert why in error.message


async def test_media_of_one_request_are_bounded_together_in_number_and_bytes(web: WebServer) -> None:
    links = [web.url("/a.png")] * 3
    assert "at most 2" in (await refused(chat(*links), links=2)).message
    assert "together" in (await refused(chat(*links), bytes_all=2 * len(PNG))).message


async def test_few_requests_are_fetched_for_at_the_same_time_and_fewer_for_one_key(web: WebServer) -> None:
    running, most = 0, 0

    async def slow(writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        writer.write(answer())
        await writer.drain()

    web.replies["/a.png"] = slow
    fetcher = Fetcher(MediaRules(allowed_networks=HERE, requests=3, requests_of_key=2))
    await asyncio.gather(*(fetcher.fill(found_in(chat(web.url("/a.png"))), "one") for _ in range(6)))
    assert most == 2
    most = 0
    await asyncio.gather(*(fetcher.fill(found_in(chat(web.url("/a.png"))), f"key{n}") for n in range(9)))
    assert most == 3


@pytest.fixture
async def fetching(control: ControlPlane, secret: str, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway that may fetch from this machine."""
    media = {"allowed_networks": HERE}
    async with run_gateway(tmp_path / "fetching", control, secret, media=media) as running:
        yield running


async def test_the_engine_gets_the_medium_and_the_request_one_row(
    fetching: GatewayProcess, engine: Engine, web: WebServer
) -> None:
    for stream in (False, True):
        answered = await fetching.ask(PATH, chat(web.url("/a.png")) | {"stream": stream})
        assert answered.status == 200, answered.body
        assert engine.asked[-1].json()["messages"][0]["content"][1]["image_url"]["url"] == DATA
    escaped = json.dumps(chat(web.url("/a.png"))).replace("image_url", "im\\u0061ge_url").encode()
    assert (await fetching.ask(PATH, escaped)).status == 200
    assert b"http" not in engine.asked[-1].body
    refusal = await fetching.ask(PATH, chat(web.url("/nothing")))
    assert (refusal.status, refusal.json()["error"]["code"]) == (400, "media_not_fetched")
    records = await fetching.recorded(4)
    assert [record["outcome"] for record in records] == ["ok", "ok", "ok", "rejected"]


async def test_messages_of_anthropic_s_with_a_link_reach_a_chat_engine(
    fetching: GatewayProcess, engine: Engine, web: WebServer
) -> None:
    source = {"type": "url", "url": web.url("/a.png")}
    body = {
        "model": "demo",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}],
    }
    assert (await fetching.ask("/v1/messages", body)).status == 200
    assert engine.asked[-1].json()["messages"][0]["content"] == [{"type": "image_url", "image_url": {"url": DATA}}]


async def test_a_client_that_leaves_ends_the_fetching(fetching: GatewayProcess, engine: Engine, web: WebServer) -> None:
    web.replies["/a.png"] = trickle
    _, writer = await fetching.connect()
    writer.write(request("POST", PATH, chat(web.url("/a.png")), key=fetching.key))
    await until(lambda: web.asked)
    writer.close()
    await asyncio.wait_for(web.left.wait(), 5)
    (record,) = await fetching.recorded(1)
    assert (record["outcome"], record["status"]) == ("canceled", 499)
    assert not engine.asked


async def test_a_key_that_is_revoked_meanwhile_gets_nothing(
    fetching: GatewayProcess, control: ControlPlane, engine: Engine, web: WebServer
) -> None:
    release = asyncio.Event()

    async def waits(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(answer())
        await writer.drain()

    web.replies["/a.png"] = waits
    asking = asyncio.ensure_future(fetching.ask(PATH, chat(web.url("/a.png"))))
    await until(lambda: web.asked)
    assert control.table is not None
    control.publish(type(control.table)("2", control.table.pepper, [], control.table.routes))
    await fetching.with_table("2")
    release.set()
    assert (await asking).status == 401
    assert not engine.asked


async def test_a_gateway_that_does_not_fetch_says_so(control: ControlPlane, secret: str, tmp_path: Path) -> None:
    async with run_gateway(
        tmp_path / "g", control, secret, media={"fetch": False, "allowed_networks": HERE}
    ) as gateway:
        refusal = await gateway.ask(PATH, chat("http://127.0.0.1:9/a.png"))
    error = refusal.json()["error"]
    assert (refusal.status, error["code"], error["param"]) == (400, "url_not_allowed", "messages")
    assert "data: URLs" in error["message"]
