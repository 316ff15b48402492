"""The echo server as a process: the OpenAI shapes, streaming at its pace, errors, and what it does when clients go."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.engines import TOKEN, RunningEngine, make_request, running

from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine

ENGINE = Registry[Engine]("aicp.engines").get("echo")


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    flags = {"token_delay_ms": 20}
    spec = ENGINE.launch(make_request(mode=Mode.CUSTOM, flags=flags, context_length=64))
    with running(spec, tmp_path_factory.mktemp("e"), model=Path("/")) as engine:
        engine.wait_ready(20)
        yield engine


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def test_a_chat_answers_with_the_question(echo: RunningEngine) -> None:
    status, answer = echo.request("POST", "/v1/chat/completions", chat("one two three"))
    assert status == 200
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "one two three"}
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def test_a_limit_cuts_the_answer(echo: RunningEngine) -> None:
    _, answer = echo.request("POST", "/v1/chat/completions", chat("one two three", max_tokens=2))
    assert answer["choices"][0]["message"]["content"] == "one two"
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_stream_says_the_same_word_by_word_and_ends_with_usage(echo: RunningEngine) -> None:
    body = chat("one two three", stream=True, stream_options={"include_usage": True})
    _, text = echo.request("POST", "/v1/chat/completions", body)
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    words = [event["choices"][0]["delta"].get("content", "") for event in events if event["choices"]]
    assert "".join(words) == "one two three"
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["usage"]["completion_tokens"] == 3


def test_completions_embeddings_and_rerank_have_their_shapes(echo: RunningEngine) -> None:
    _, answer = echo.request("POST", "/v1/completions", {"model": "m", "prompt": "a b"})
    assert answer["choices"][0]["text"] == "a b"
    _, answer = echo.request("POST", "/v1/embeddings", {"model": "m", "input": ["a", "b", "a"]})
    vectors = [entry["embedding"] for entry in answer["data"]]
    assert vectors[0] == vectors[2] != vectors[1]
    assert sum(value * value for value in vectors[0]) == pytest.approx(1)
    documents = ["dogs bark", "cats purr"]
    _, answer = echo.request("POST", "/v1/rerank", {"model": "m", "query": "cats", "documents": documents})
    assert [entry["index"] for entry in answer["results"]] == [1, 0]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"[" * 100_000, 400),
        ("/v1/chat/completions", {"model": "other", "messages": []}, 404),
        ("/v1/chat/completions", {"model": "m", "messages": "x"}, 400),
        ("/v1/chat/completions", chat("w " * 65), 400),
        ("/v1/chat/completions", chat("a", max_tokens="many"), 400),
        ("/v1/embeddings", {"model": "m", "input": 3}, 400),
        ("/v1/images", {"model": "m"}, 404),
    ],
)
def test_bad_requests_get_an_openai_error(echo: RunningEngine, path: str, body: Any, status: int) -> None:
    got, answer = echo.request("POST", path, body)
    assert got == status
    assert answer["error"]["message"]


def test_the_token_is_needed(echo: RunningEngine) -> None:
    assert echo.request("GET", "/v1/models", token="wrong")[0] == 401
    assert echo.request("GET", "/v1/models")[1]["data"][0]["id"] == "m"


def test_a_client_that_hangs_up_ends_the_work(echo: RunningEngine) -> None:
    before = _metric(echo, "echo:aborted_total")
    body = json.dumps(chat("w " * 60, stream=True)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(echo.listen))
        client.sendall(head.encode() + body)
        client.recv(100)
    for _ in range(200):
        if _metric(echo, "echo:aborted_total") > before:
            break
        echo.request("GET", "/health")
    assert _metric(echo, "echo:aborted_total") == before + 1


def test_it_ends_at_once_when_told(tmp_path: Path) -> None:
    with running(ENGINE.launch(make_request()), tmp_path, model=Path("/")) as engine:
        engine.wait_ready(20)
        assert engine.stop() < 2
        assert engine.process.returncode == 0


def test_it_can_fail_to_start(tmp_path: Path) -> None:
    spec = ENGINE.launch(make_request(mode=Mode.CUSTOM, flags={"fail_start": True}))
    with running(spec, tmp_path, model=Path("/")) as engine:
        assert engine.process.wait(20) == 3


def _metric(engine: RunningEngine, name: str) -> float:
    lines = engine.request("GET", "/metrics")[1].splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name))
