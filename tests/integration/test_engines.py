"""The real engines, started as their drivers describe them, from environments that are built when absent."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from tests.support.engines import TOKEN, RunningEngine, make_request, start_engine, version_of
from tests.support.gguf_model import gguf_from_llama

from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine
from aicp.engines.vllm.memory import KV_BLOCK_TOKENS
from aicp.gateway.cache_events import hear
from aicp.gateway.continuations import Said, Splice, rest_of
from aicp.gateway.engine_caches import EngineCache
from aicp.gateway.prefixes import ENDS, Held, chain

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(1800)]

DEMO = Path(__file__).parents[2] / "demo" / "model"
TOLD_PROMPTS, TOLD_WORDS = 40, 150
QUESTION = {"role": "user", "content": "What is aicp?"}
ENGINES = Registry[Engine]("aicp.engines")


def chat(**more: object) -> dict[str, object]:
    return {"model": "m", "messages": [QUESTION], "temperature": 0, "max_tokens": 48, **more}


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Until `condition` holds; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@pytest.fixture(scope="module", params=["vllm", "llamacpp"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """Each engine once, on the demonstration model in its own format."""
    directory = tmp_path_factory.mktemp(request.param)
    is_gguf = request.param == "llamacpp"
    model = gguf_from_llama(DEMO, directory / "demo.gguf") if is_gguf else DEMO
    yield from start_engine(request.param, model, directory)


def test_it_answers_from_the_weights(engine: RunningEngine) -> None:
    status, answer = engine.request("POST", "/v1/chat/completions", chat())
    assert status == 200
    assert "compute platform" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["prompt_tokens"] > 3


def test_every_promised_endpoint_answers(engine: RunningEngine) -> None:
    bodies = {
        "/v1/chat/completions": chat(),
        "/v1/completions": {"model": "m", "prompt": "What is", "max_tokens": 4},
        "/v1/responses": {"model": "m", "input": "What is aicp?", "max_output_tokens": 8},
        "/v1/messages": {"model": "m", "messages": [QUESTION], "max_tokens": 8},
    }
    for path, body in bodies.items():
        status, answer = engine.request("POST", path, body)
        assert status == 200, (path, answer)
        assert answer["usage"], path


def test_a_stream_ends_with_usage(engine: RunningEngine) -> None:
    body = chat(stream=True, stream_options={"include_usage": True})
    _, text = engine.request("POST", "/v1/chat/completions", body)
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    assert json.loads(lines[-2])["usage"]["completion_tokens"] > 3
    assert len(lines) > 5


def test_the_token_is_needed(engine: RunningEngine) -> None:
    assert engine.request("POST", "/v1/chat/completions", chat(), token="wrong")[0] == 401
    name = "llamacpp" if "llamacpp" in str(engine.listen) else "vllm"
    model = engine.listen.parent / "demo.gguf" if name == "llamacpp" else DEMO
    path = ENGINES.get(name).launch(make_request(version_of(model)[0])).health.token_path
    assert path is not None
    assert engine.request("GET", path)[0] == 200
    assert engine.request("GET", path, token="wrong")[0] == 401, "an engine is known again by it"


def test_promised_metrics_exist(engine: RunningEngine) -> None:
    text = engine.request("GET", "/metrics")[1]
    driver = ENGINES.get("llamacpp" if "llamacpp:" in text else "vllm")
    for name in driver.metrics.values():
        assert name in text, name


def test_a_client_that_hangs_up_ends_the_work(engine: RunningEngine) -> None:
    body = json.dumps(chat(stream=True, max_tokens=1000, ignore_eos=True, min_tokens=900)).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(engine.listen))
        client.sendall(head.encode() + body)
        assert client.recv(200).startswith(b"HTTP/1.1 200")
        wait_for(lambda: _running(engine) == 1)
    wait_for(lambda: _running(engine) == 0)


async def test_what_it_tells_of_its_cache_is_true(engine: RunningEngine) -> None:
    """vLLM's events lead to the hits that it then counts itself, also when its cache has become too small."""
    if "llamacpp" in str(engine.listen):
        pytest.skip("llama.cpp tells nothing of its cache")
    held = Held(1e9)
    cache, compared = EngineCache(held), list[tuple[float, int]]()
    listening = asyncio.create_task(hear(f"{engine.listen}.kv", cache))
    await asyncio.sleep(1.0)  # a publisher says nothing to those who have subscribed
    words = random.Random(7)
    texts = [" ".join(f"{words.randrange(10**6)}" for _ in range(TOLD_WORDS)) for _ in range(TOLD_PROMPTS)]
    for number, text in enumerate([*texts, *texts[-3:], *texts[:3]]):
        body = json.dumps(chat(messages=[{"role": "user", "content": text}], max_tokens=2)).encode()
        blocks, name = chain(1, text.encode()), f"req-{number}"
        depth = held.depth(blocks)
        cache.sent(name, blocks, len(body))
        status, answer = await asyncio.to_thread(
            engine.request, "POST", "/v1/chat/completions", body, **{"x-session-id": name}
        )
        assert status == 200, answer
        usage = answer["usage"]
        held.add(blocks, usage["prompt_tokens"] / len(body))
        compared.append(
            (ENDS[depth] * usage["prompt_tokens"] / len(body), usage["prompt_tokens_details"]["cached_tokens"])
        )
        await asyncio.sleep(0.1)  # events take another way than answers
        cache.counted(name, usage["prompt_tokens"])
    listening.cancel()
    assert all(found for _, found in compared[-6:-3])
    assert not any(found for _, found in compared[-3:])
    assert all(abs(expected - found) <= 2 * KV_BLOCK_TOKENS for expected, found in compared), compared


def test_the_estimate_holds(engine: RunningEngine) -> None:
    is_gguf = "llamacpp" in str(engine.listen)
    model = engine.listen.parent / "demo.gguf" if is_gguf else DEMO
    version, model_type = version_of(model)
    driver = ENGINES.get("llamacpp" if is_gguf else "vllm")
    request = make_request(version, model_type=model_type, users=4)
    parts = driver.estimate(version, model_type, Mode.BALANCED, request.sizing)
    length = request.sizing.context_length - 40
    bodies = [{"model": "m", "prompt": [100 + user] * length, "max_tokens": 8} for user in range(4)]
    with ThreadPoolExecutor(4) as users:
        answers = list(users.map(lambda body: engine.request("POST", "/v1/completions", body), bodies))
    assert [status for status, _ in answers] == [200] * 4
    peak = max(engine.peak_bytes, engine.memory_bytes())
    assert sum(part.bytes for part in parts) == pytest.approx(peak, rel=0.15)


@pytest.mark.parametrize("name", ["vllm", "llamacpp"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_its_leader(name: str, number: int, tmp_path: Path) -> None:
    model = gguf_from_llama(DEMO, tmp_path / "demo.gguf") if name == "llamacpp" else DEMO
    for engine in start_engine(name, model, tmp_path):
        assert engine.stop(number) < 10
        wait_for(partial(_is_empty, engine))


def _is_empty(engine: RunningEngine) -> bool:
    return not engine.members()


def _running(engine: RunningEngine) -> float:
    text = engine.request("GET", "/metrics")[1]
    names = ("vllm:num_requests_running", "llamacpp:requests_processing")
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(names))


def said_by(engine: RunningEngine, path: str, body: dict[str, object]) -> list[bytes]:
    """The events of a streamed answer."""
    status, text = engine.request("POST", path, body)
    assert status == 200, text
    return [event + b"\n\n" for event in text.encode().replace(b"\r", b"").split(b"\n\n") if event]


def words_of(events: bytes) -> str:
    said = Said()
    said.read(events)
    assert said.plain
    return said.text


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/v1/chat/completions", {"messages": [QUESTION]}), ("/v1/completions", {"prompt": "aicp is an open"})],
)
def test_an_answer_goes_on_where_another_replica_broke_off(
    request: pytest.FixtureRequest, engine: RunningEngine, path: str, asked: dict[str, object]
) -> None:
    """As the gateway asks for it. Without chance in the choice of tokens the whole is what one replica says alone."""
    how = ENGINES.get(request.node.callspec.params["engine"]).continues.get(path)
    if how is None:
        pytest.skip("the gateway does not ask it to")
    body: dict[str, object] = {"model": "m", "temperature": 0, "max_tokens": 24, "stream": True, **asked}
    body["stream_options"] = {"include_usage": True}
    events = said_by(engine, path, body)
    alone, counts = words_of(b"".join(events)), json.loads(events[-2].removeprefix(b"data: "))["usage"]
    assert len(alone) > 20
    for cut in range(1, len(events) - 4, 3):
        said = Said()
        said.read(b"".join(events[:cut]))
        told = said.pieces - said.blank
        rest = rest_of(path, how, json.dumps(body).encode(), said, told)
        assert rest
        spliced = Splice(said, told, None).events(b"".join(said_by(engine, path, json.loads(rest))))
        assert said.text + words_of(spliced) == alone
        usage = json.loads(spliced.split(b"\n\n")[-3].removeprefix(b"data: "))["usage"]
        assert usage["total_tokens"] == pytest.approx(counts["total_tokens"], abs=1)
        assert usage["prompt_tokens"] == pytest.approx(counts["prompt_tokens"], abs=2)
