"""The paths beside chat and embeddings: tokens, moderations, sound and the reading of images."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, BadRequestError
from tests.support.control_plane import ControlPlane
from tests.support.gateway_process import GatewayProcess, entry_of, route_to, table_of, until
from tests.support.http_wire import Asked, read_answer, read_chunk, read_head, request
from tests.support.openai_engine import Engine, Wire
from tests.unit.gateway.shared.conftest import Standing

from aicp.core.route import LimitsEntry

pytestmark = pytest.mark.asyncio(loop_scope="module")
DATA = "data:image/png;base64,iVBORw=="
SOUND = b"RIFF\x00\xff\r\n--other"
LINES = [
    {"text": "Invoice 7", "box": [[1, 2], [90, 2], [90, 20], [1, 20]], "score": 0.99},
    {"text": "Total 12", "box": [[1, 30], [90, 30], [90, 50], [1, 50]], "score": 0.9},
]
SERVED = {
    "tokens": ["/tokenize", "/detokenize"],
    "guard": ["/v1/moderations"],
    "ear": ["/v1/audio/transcriptions", "/v1/audio/translations"],
    "voice": ["/v1/audio/speech"],
    "eye": ["/v1/ocr"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def routes(standing: Standing) -> None:
    """A route for each group of paths, called by its own name; `ear-too` is one that its engine knows as `inner`."""
    routes = [
        replace(route_to([standing.engine], name, endpoints=paths), upstream_model=name)
        for name, paths in SERVED.items()
    ]
    routes += [route_to([standing.engine], "ear-too", endpoints=SERVED["ear"]), route_to([standing.engine])]
    keys = [entry_of(standing.gateway.key)]
    standing.control.publish(table_of(routes, keys, "surface"))
    await standing.gateway.with_table("surface")


@pytest.fixture
def client(gateway: GatewayProcess) -> AsyncOpenAI:
    """The official one."""
    return AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=gateway.key, max_retries=0)


def answering(value: Any, status: int = 200) -> Any:
    async def script(wire: Wire, asked: Asked) -> None:
        await wire.json(value, status)

    return script


def form(model: str, *more: tuple[str, str]) -> tuple[bytes, dict[str, str]]:
    texts = "".join(
        f'--B0\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in [("model", model), *more]
    )
    head = '--B0\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return texts.encode() + head.encode() + SOUND + b"\r\n--B0--\r\n", {
        "content-type": "multipart/form-data; boundary=B0"
    }


@pytest.mark.parametrize(
    ("answer", "strings"),
    [
        ({"count": 2, "max_model_len": 8192, "tokens": [5, 6], "token_strs": ["a", "b"]}, ["a", "b"]),
        ({"tokens": [{"id": 5, "piece": "a"}, {"id": 6, "piece": [195, 161]}]}, ["a", "á"]),
        ({"tokens": [5, 6]}, None),
    ],
)
async def test_tokens_in_the_words_of_either_engine(
    gateway: GatewayProcess, engine: Engine, answer: dict[str, Any], strings: Any
) -> None:
    engine.script = answering(answer)
    body = {"model": "tokens", "prompt": "a á", "return_token_strs": strings is not None}
    answered = await gateway.ask("/v1/tokenize", body)
    wanted = {"count": 2, "max_model_len": answer.get("max_model_len", 4096), "tokens": [5, 6], "token_strs": strings}
    assert (answered.status, answered.json()) == (200, wanted)
    asked = engine.asked[-1]
    assert (asked.path, asked.json()["content"], asked.json()["prompt"]) == ("/tokenize", "a á", "a á")
    assert asked.json()["add_special"] is True
    assert asked.json().get("with_pieces", False) is (strings is not None)


async def test_messages_are_made_tokens_of_only_where_the_engine_does_it(
    gateway: GatewayProcess, engine: Engine
) -> None:
    body = {"model": "tokens", "messages": [{"role": "user", "content": "Hi"}]}
    engine.script = answering({"count": 1, "max_model_len": 9, "tokens": [5]})
    assert (await gateway.ask("/v1/tokenize", body)).json()["tokens"] == [5]
    assert "content" not in engine.asked[-1].json()
    engine.script = answering({"tokens": []})
    refusal = await gateway.ask("/v1/tokenize", body)
    assert (refusal.status, refusal.json()["error"]["param"]) == (400, "messages")
    assert refusal.json()["error"]["code"] == "not_supported_by_engine"


@pytest.mark.parametrize("answer", [{"prompt": "a á"}, {"content": "a á"}])
async def test_tokens_back_to_text(gateway: GatewayProcess, engine: Engine, answer: dict[str, Any]) -> None:
    engine.script = answering(answer)
    answered = await gateway.ask("/v1/detokenize", {"model": "tokens", "tokens": [5, 6]})
    assert (answered.status, answered.json()) == (200, {"prompt": "a á"})
    assert (engine.asked[-1].path, engine.asked[-1].json()["tokens"]) == ("/detokenize", [5, 6])


@pytest.mark.parametrize(
    "body", [{}, {"prompt": "a", "messages": []}, {"prompt": 5}, {"prompt": ["a"]}, {"prompt": "a", "priority": 1}]
)
async def test_a_wrong_request_for_tokens(gateway: GatewayProcess, engine: Engine, body: dict[str, Any]) -> None:
    assert (await gateway.ask("/v1/tokenize", {"model": "tokens", **body})).status == 400
    assert not engine.asked


@pytest.mark.parametrize("answer", [{"tokens": 5}, {}, [], b"nonsense"])
async def test_an_engine_that_answers_no_tokens(gateway: GatewayProcess, engine: Engine, answer: Any) -> None:
    engine.script = answering(answer)
    for path, more in (("/v1/tokenize", {"prompt": "a"}), ("/v1/detokenize", {"tokens": [1]})):
        assert (await gateway.ask(path, {"model": "tokens", **more})).status == 502


async def test_moderations_with_the_official_client(client: AsyncOpenAI, engine: Engine) -> None:
    result = {"flagged": True, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}
    engine.script = answering({"id": "m", "model": "guard", "results": [result]})
    assert (await client.moderations.create(model="guard", input="bad")).results[0].flagged
    with pytest.raises(BadRequestError, match="does not serve /v1/moderations; its engine test serves /v1/chat/compl"):
        await client.moderations.create(model="demo", input="bad")


async def test_a_transcription_reaches_the_engine_in_its_own_bytes(gateway: GatewayProcess, engine: Engine) -> None:
    engine.script = answering({"text": "Hello", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 2}})
    body, headers = form("ear", ("language", "de"))
    for path in SERVED["ear"]:
        answered = await gateway.ask(path, body, headers=headers)
        assert (answered.status, answered.json()["text"]) == (200, "Hello")
        asked = engine.asked[-1]
        assert (asked.path, asked.body, asked.headers["content-type"]) == (path, body, headers["content-type"])
    renamed, headers = form("ear-too")
    assert (await gateway.ask(path, renamed, headers=headers)).status == 200
    assert engine.asked[-1].body == renamed.replace(b"\r\near-too\r\n", b"\r\ninner\r\n")
    refusal = await gateway.ask(path, form("ear", ("chat_template", "x"))[0], headers=headers)
    assert (refusal.status, refusal.json()["error"]["param"]) == (400, "chat_template")


async def test_a_transcription_is_metered_and_its_text_keeps_its_kind(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    subtitles = b"1\n00:00 --> 00:01\nHello\n" * 20_000

    async def script(wire: Wire, asked: Asked) -> None:
        if b"srt" in asked.body:
            head = b"HTTP/1.1 200 X\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n\r\n"
            return await wire.raw(head % len(subtitles) + subtitles)
        head = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        await wire.raw(head)
        for piece in (b'{"text":"Hello","us', b'age":{"input_tokens":14,"output_tokens":2}}'):
            await wire.piece(piece)
            await asyncio.sleep(0.01)
        await wire.end()

    engine.script = script
    body, headers = form("ear", ("response_format", "srt"))
    answered = await gateway.ask(SERVED["ear"][0], body, headers=headers)
    assert (answered.body, answered.headers["content-type"]) == (subtitles, "text/plain; charset=utf-8")
    await gateway.shipped()
    control.usage.clear()
    answered = await gateway.ask(SERVED["ear"][0], form("ear")[0], headers=headers)
    assert answered.json()["text"] == "Hello"
    (record,) = await gateway.recorded(1)
    assert (record["prompt_tokens"], record["completion_tokens"], record["outcome"]) == (14, 2, "ok")


async def test_a_streamed_transcription_with_the_official_client(client: AsyncOpenAI, engine: Engine) -> None:
    async def script(wire: Wire, asked: Asked) -> None:
        await wire.start()
        for word in ("Hel", "lo"):
            await wire.event({"type": "transcript.text.delta", "delta": word})
        await wire.event(
            {
                "type": "transcript.text.done",
                "text": "Hello",
                "usage": {"type": "tokens", "input_tokens": 5, "output_tokens": 1, "total_tokens": 6},
            }
        )
        await wire.end()

    engine.script = script
    stream = await client.audio.transcriptions.create(model="ear", file=("a.wav", SOUND), stream=True)
    assert [event.type async for event in stream] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]


async def test_speech_is_passed_on_as_it_comes(gateway: GatewayProcess, client: AsyncOpenAI, engine: Engine) -> None:
    release = asyncio.Event()

    async def script(wire: Wire, asked: Asked) -> None:
        await wire.raw(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n")
        await wire.piece(b"\xff\xfb one")
        await release.wait()
        await wire.piece(b" two")
        await wire.end()

    engine.script = script
    reader, writer = await gateway.connect()
    writer.write(request("POST", "/v1/audio/speech", {"model": "voice", "input": "Hi", "voice": "a"}, key=gateway.key))
    head = await read_head(reader)
    assert (head.status, head.headers["content-type"]) == (200, "audio/mpeg")
    assert await read_chunk(reader) == b"\xff\xfb one", "it must not wait for the rest"
    release.set()
    assert (await read_chunk(reader), await read_chunk(reader)) == (b" two", b"")
    writer.close()
    assert (await client.audio.speech.create(model="voice", input="Hi", voice="a")).content == b"\xff\xfb one two"


async def test_speech_that_breaks_off_is_not_taken_for_whole(gateway: GatewayProcess, engine: Engine) -> None:
    async def script(wire: Wire, asked: Asked) -> None:
        await wire.raw(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n")
        await wire.piece(b"\xff\xfb one")
        await asyncio.sleep(0.05)
        await wire.cut()

    engine.script = script
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await gateway.ask("/v1/audio/speech", {"model": "voice", "input": "Hi", "voice": "a"})


async def test_a_client_that_leaves_ends_its_speech(gateway: GatewayProcess, engine: Engine) -> None:
    async def script(wire: Wire, asked: Asked) -> None:
        await wire.raw(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await wire.piece(b"\xff\xfb")
            await asyncio.sleep(0.01)

    engine.script = script
    reader, writer = await gateway.connect()
    writer.write(request("POST", "/v1/audio/speech", {"model": "voice", "input": "Hi"}, key=gateway.key))
    await read_head(reader)
    writer.close()
    await until(lambda: engine.aborted)


async def test_an_error_of_an_engine_of_sound_is_told(gateway: GatewayProcess, engine: Engine) -> None:
    engine.script = answering({"error": {"message": "no such voice"}}, 400)
    answered = await gateway.ask("/v1/audio/speech", {"model": "voice", "input": "Hi", "voice": "b"})
    assert (answered.status, answered.json()["error"]["message"]) == (400, "no such voice")


async def test_images_are_read_from_json_and_from_forms(gateway: GatewayProcess, engine: Engine) -> None:
    engine.script = answering({"model": "eye", "lines": LINES, "usage": {"prompt_tokens": 800, "total_tokens": 800}})
    answered = await gateway.ask("/v1/ocr", {"model": "eye", "image": DATA, "language": "de"})
    assert (answered.status, answered.json()["lines"]) == (200, LINES)
    assert engine.asked[-1].json() == {"model": "eye", "image": DATA, "language": "de"}
    body = (
        b'--B0\r\nContent-Disposition: form-data; name="model"\r\n\r\neye\r\n--B0\r\nContent-Disposition: form-data; '
        b'name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--B0--\r\n'
    )
    answered = await gateway.ask("/v1/ocr", body, headers={"content-type": "multipart/form-data; boundary=B0"})
    assert answered.status == 200
    assert engine.asked[-1].json() == {"model": "eye", "image": DATA}


@pytest.mark.parametrize(
    "image",
    [None, 5, [], {}, "iVBORw==", "data:text/html;base64,AA==", [DATA, "x"], [DATA] * 17, "http://10.0.0.1/a.png"],
)
async def test_what_is_no_image_is_refused(gateway: GatewayProcess, engine: Engine, image: Any) -> None:
    answered = await gateway.ask("/v1/ocr", {"model": "eye", "image": image})
    assert (answered.status, answered.json()["error"]["param"]) == (400, "image")
    assert not engine.asked


def pictures(*links: str, **more: Any) -> dict[str, Any]:
    parts = [
        {"type": "text", "text": "Read it."},
        *({"type": "image_url", "image_url": {"url": link}} for link in links),
    ]
    return {"model": "eye", "messages": [{"role": "user", "content": parts}], **more}


async def test_chat_with_a_model_that_reads_images(
    gateway: GatewayProcess, client: AsyncOpenAI, engine: Engine
) -> None:
    engine.script = answering(
        {
            "lines": [*LINES, {"text": "Page two", "image": 1}],
            "usage": {"prompt_tokens": 1600, "completion_tokens": 0, "total_tokens": 1600},
        }
    )
    body = pictures(DATA, DATA)
    done = await client.chat.completions.create(**body)
    assert done.choices[0].message.content == "Invoice 7\nTotal 12\n\nPage two"
    assert (done.choices[0].finish_reason, done.model) == ("stop", "eye")
    assert done.usage is not None
    assert done.usage.prompt_tokens == 1600
    assert (engine.asked[-1].path, engine.asked[-1].json()) == ("/v1/ocr", {"model": "eye", "image": [DATA, DATA]})
    stream = await client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).endswith("Page two")
    assert chunks[-1].usage is not None
    answered = await gateway.ask("/v1/chat/completions", body | {"stream": True})
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert b'"usage"' not in answered.body


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (pictures(), "messages"),
        (pictures("data:text/plain;base64,AA=="), "messages"),
        (pictures(*[DATA] * 17), "messages"),
        (pictures(DATA, tools=[{"type": "function", "function": {"name": "f"}}]), "tools"),
        (pictures(DATA, n=2), "n"),
        (pictures(DATA, response_format={"type": "json_object"}), "response_format"),
        (pictures(DATA, logprobs=True), "logprobs"),
        ({"model": "eye", "messages": [{"role": "user", "content": "Hi"}]}, "messages"),
        ({"model": "eye", "messages": [{"role": "user", "content": [5, {"image_url": 5}]}]}, "messages"),
    ],
)
async def test_chat_that_asks_for_more_than_reading(
    gateway: GatewayProcess, engine: Engine, body: dict[str, Any], param: str
) -> None:
    answered = await gateway.ask("/v1/chat/completions", body)
    assert (answered.status, answered.json()["error"]["param"]) == (400, param)
    assert not engine.asked


async def test_an_engine_that_reads_nothing_sound(gateway: GatewayProcess, engine: Engine) -> None:
    for answer in ({"lines": 5}, {"text": "x"}, b"nonsense", {"lines": [{"box": []}]}):
        engine.script = answering(answer)
        assert (await gateway.ask("/v1/chat/completions", pictures(DATA))).status == 502


async def test_limits_on_tokens_count_images_and_not_their_bytes(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine, secret: str
) -> None:
    """A thousand tokens an image: three fit under a limit of 3,500, though one has a hundred thousand bytes."""
    engine.script = answering({"lines": LINES})
    assert control.table is not None
    limited = replace(entry_of(secret), limits=LimitsEntry(tpm=3500))
    before = control.table
    control.publish(replace(before, etag="limited", keys=[limited]))
    await gateway.with_table("limited")
    large = DATA.replace("iVBORw==", "A" * 100_000)
    for _ in range(3):
        assert (await gateway.ask("/v1/ocr", {"model": "eye", "image": large})).status == 200
    refusal = await gateway.ask("/v1/ocr", {"model": "eye", "image": DATA})
    assert (refusal.status, refusal.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    control.publish(replace(before, etag="unlimited"))
    await gateway.with_table("unlimited")
    answered = await gateway.ask("/v1/ocr", json.dumps({"model": "eye", "image": DATA}).encode())
    assert answered.status == 200


async def test_a_form_in_pieces_over_one_connection(gateway: GatewayProcess, engine: Engine) -> None:
    engine.script = answering({"text": "Hello"})
    body, headers = form("ear")
    reader, writer = await gateway.connect()
    for _ in range(2):
        data = request("POST", SERVED["ear"][0], body, key=gateway.key, headers=headers)
        for start in range(0, len(data), 17):
            writer.write(data[start : start + 17])
            await writer.drain()
        assert (await read_answer(reader)).json() == {"text": "Hello"}
    writer.close()
