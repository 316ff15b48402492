"""Real engines at work that is not plain chat: embeddings, scores, tool calls, refusals and a death in mid-answer."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import run_control
from tests.support.engines import ENVIRONMENTS, RunningEngine, start_engine
from tests.support.gateway_process import GatewayProcess, entry_of, new_secret, route_to, run_gateway, table_of
from tests.support.gguf_model import gguf_from_llama
from tests.support.http_wire import read_chunk, read_head, request
from tests.support.openai_engine import Engine
from tests.support.platform import DEMO_MODEL
from tests.support.tiny_bert import MEAN, RANK, write_tiny_bert, write_tiny_bert_gguf

from aicp.core.service import Mode
from aicp.engines.vllm.parsers import REASONING_PARSERS, TOOL_PARSERS

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(1800)]

QUERY = "where is the old bridge ?"
TEXTS = ["the bridge is in the city .", "a dog sleeps on bread .", "the old river", "zebra"]
CHAT = "/v1/chat/completions"
QUESTION: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "What is aicp?"}]}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("bert") / "model")


@dataclass(frozen=True)
class Logits:
    """The classifier's answers in plain torch, from the same weights and the tokenizer beside them."""

    pairs: list[float]
    untyped: list[float]
    """Without telling the question from the text by their token types, as llama.cpp reads a BERT."""


@pytest.fixture(scope="module")
def logits(bert: Path) -> Logits:
    engine = next(ENVIRONMENTS.glob("vllm-*/bin/python"))
    program = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, query, texts = json.loads(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
tokens = tokenizer([query] * len(texts), texts, padding=True, return_tensors="pt")
with torch.no_grad():
    typed = model(**tokens).logits[:, 0].tolist()
    tokens["token_type_ids"] = torch.zeros_like(tokens["token_type_ids"])
    print(json.dumps([typed, model(**tokens).logits[:, 0].tolist()]))
"""
    words = [str(engine), "-c", program, json.dumps([str(bert), QUERY, TEXTS])]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return Logits(*json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def scorer(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """vLLM on the classifier, in the type of its weights."""
    directory = tmp_path_factory.mktemp("scorer")
    flags = {"dtype": "float32"}
    yield from start_engine("vllm", bert, directory, mode=Mode.CUSTOM, flags=flags, context_length=256)


def ranks(engine: RunningEngine) -> list[tuple[int, float]]:
    """(text, score) as /v1/rerank orders them."""
    status, answer = engine.request("POST", "/v1/rerank", {"model": "m", "query": QUERY, "documents": TEXTS})
    assert status == 200, answer
    return [(item["index"], item["relevance_score"]) for item in answer["results"]]


def test_vllm_reranks_and_scores_as_torch_does(scorer: RunningEngine, logits: Logits) -> None:
    expected = [1 / (1 + math.exp(-value)) for value in logits.pairs]
    assert len({round(value, 2) for value in expected}) == len(TEXTS), "the texts must be told apart"
    found = ranks(scorer)
    assert [index for index, _ in found] == sorted(range(len(TEXTS)), key=lambda index: -expected[index])
    for index, score in found:
        assert score == pytest.approx(expected[index], abs=1e-3)
    status, answer = scorer.request("POST", "/v1/score", {"model": "m", "text_1": QUERY, "text_2": TEXTS})
    assert status == 200, answer
    assert [item["score"] for item in answer["data"]] == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def gguf_scorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    directory = tmp_path_factory.mktemp("rank")
    model = write_tiny_bert_gguf(directory / "bert.gguf", RANK)
    yield from start_engine("llamacpp", model, directory, context_length=256)


def test_llama_cpp_reranks_as_torch_does(gguf_scorer: RunningEngine, logits: Logits) -> None:
    found = ranks(gguf_scorer)
    best = max(range(len(TEXTS)), key=lambda index: logits.untyped[index])
    assert sorted(found, key=lambda item: -item[1])[0][0] == best
    for index, score in found:
        # its scores are not pressed between 0 and 1, and its GELU is the approximation by tanh
        assert score == pytest.approx(logits.untyped[index], abs=0.05)


@pytest.fixture(scope="module")
def gguf_embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    directory = tmp_path_factory.mktemp("embed")
    model = write_tiny_bert_gguf(directory / "bert.gguf", MEAN)
    yield from start_engine("llamacpp", model, directory, context_length=256)


def test_llama_cpp_embeds(gguf_embedder: RunningEngine) -> None:
    body = {"model": "m", "input": [*TEXTS, TEXTS[0]]}
    status, answer = gguf_embedder.request("POST", "/v1/embeddings", body)
    assert status == 200, answer
    vectors = [item["embedding"] for item in sorted(answer["data"], key=lambda item: item["index"])]
    assert {len(vector) for vector in vectors} == {64}
    assert vectors[0] == pytest.approx(vectors[-1], abs=1e-3)
    assert vectors[0] != pytest.approx(vectors[1], abs=1e-2)
    for vector in vectors:
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-3)
    assert answer["usage"]["prompt_tokens"] > 0


@pytest.fixture(scope="module")
def gguf_chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """llama.cpp on the demonstration model with a context of 1,024 tokens."""
    directory = tmp_path_factory.mktemp("chat")
    yield from start_engine("llamacpp", gguf_from_llama(DEMO_MODEL, directory / "demo.gguf"), directory)


@dataclass(frozen=True)
class Gateways:
    """Starts gateways of a test in front of a running engine."""

    directory: Path

    async def over(self, engine: RunningEngine, type: str = "chat") -> AsyncIterator[GatewayProcess]:
        secret = new_secret()
        route = replace(route_to([Engine(engine.listen)], type=type), upstream_model="m")
        async with (
            run_control(table_of([route], [entry_of(secret)])) as control,
            run_gateway(self.directory / "gateway", control, secret) as gateway,
        ):
            yield gateway


@pytest.fixture
def gateways(tmp_path: Path) -> Gateways:
    return Gateways(tmp_path)


async def test_a_prompt_beyond_the_context_is_the_caller_s_error(gguf_chat: RunningEngine, gateways: Gateways) -> None:
    async for gateway in gateways.over(gguf_chat):
        long = {"role": "user", "content": "What is aicp? " * 1500}
        for stream in (False, True):
            answer = await gateway.ask(CHAT, QUESTION | {"messages": [long], "stream": stream})
            assert answer.status == 400, answer.body
            assert "context" in answer.json()["error"]["message"]


async def test_an_image_for_a_model_without_eyes_is_the_caller_s_error(
    gguf_chat: RunningEngine, gateways: Gateways
) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}
    async for gateway in gateways.over(gguf_chat):
        answer = await gateway.ask(CHAT, QUESTION | {"messages": [message]})
        assert 400 <= answer.status < 500, answer.body
        assert "image" in answer.json()["error"]["message"]


async def test_a_text_too_long_to_embed_is_the_caller_s_error(gguf_embedder: RunningEngine, gateways: Gateways) -> None:
    async for gateway in gateways.over(gguf_embedder, "embedding"):
        answer = await gateway.ask("/v1/embeddings", {"model": "demo", "input": "the river " * 600})
        assert 400 <= answer.status < 500, answer.body
        assert answer.json()["error"]["message"]


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RunningEngine]:
    """An engine of one test, to be killed."""
    yield from start_engine("llamacpp", gguf_from_llama(DEMO_MODEL, tmp_path / "demo.gguf"), tmp_path)


async def test_a_stream_whose_engine_is_killed_ends_with_an_error_event(
    mortal: RunningEngine, gateways: Gateways
) -> None:
    body = QUESTION | {"stream": True, "max_tokens": 900, "ignore_eos": True}
    async for gateway in gateways.over(mortal):
        reader, writer = await gateway.connect()
        writer.write(request("POST", CHAT, body, key=gateway.key))
        assert (await read_head(reader)).status == 200
        text = await read_chunk(reader)
        os.kill(mortal.process.pid, signal.SIGKILL)
        while piece := await read_chunk(reader):
            text += piece
        writer.close()
        events = [line.removeprefix(b"data: ") for line in text.split(b"\n\n") if line.startswith(b"data: ")]
        errors = [json.loads(event)["error"] for event in events if event.startswith(b'{"error"')]
        assert len(errors) == 1, events[-3:]
        assert errors[0]["type"] == "server_error"
        assert errors[0]["message"]
        assert any(b'"delta"' in event for event in events), "part of the answer came before"


# Shows tools as Qwen2.5 and Hermes do; the demonstration model never learned them, so calls are forced by grammar.
_TOOL_TEMPLATE = (
    "{% if tools %}{{ '<|im_start|>system\nCall with <tool_call>: ' + (tools | tojson) + '<|im_end|>\n' }}{% endif %}"
)
_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"hot": {"type": "boolean"}},
            "required": ["hot"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """vLLM on the demonstration model with a chat template that shows tools."""
    directory = tmp_path_factory.mktemp("tools")
    model = directory / "model"
    shutil.copytree(DEMO_MODEL, model)
    settings = json.loads((model / "tokenizer_config.json").read_text())
    settings["chat_template"] = _TOOL_TEMPLATE + settings["chat_template"]
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    yield from start_engine("vllm", model, directory)


def test_vllm_calls_tools_with_the_parser_that_the_driver_chose(caller: RunningEngine) -> None:
    words = caller.process.args
    assert isinstance(words, list)
    assert words[words.index("--tool-call-parser") + 1] == "hermes"
    body = {**QUESTION, "model": "m", "tools": [_TOOL], "temperature": 0, "max_tokens": 200}
    status, answer = caller.request("POST", CHAT, body)
    assert status == 200, "tool_choice auto is refused without a parser: " + str(answer)
    named = {"type": "function", "function": {"name": "weather"}}
    calls: list[dict[str, Any]] = []
    for seed in range(12):  # a model that knows no tools may fill its answer with spaces, which the grammar allows
        chance = {"tool_choice": named, "temperature": 1, "seed": seed, "max_tokens": 400}
        status, answer = caller.request("POST", CHAT, body | chance)
        assert status == 200, answer
        calls = answer["choices"][0]["message"].get("tool_calls") or []
        if calls:
            break
    (call,) = calls
    assert call["function"]["name"] == "weather"
    assert isinstance(json.loads(call["function"]["arguments"])["hot"], bool)


def test_every_parser_of_the_allow_list_is_one_of_vllm(caller: RunningEngine) -> None:
    program = """
import json
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
print(json.dumps([sorted(ToolParserManager.list_registered()), sorted(ReasoningParserManager.list_registered())]))
"""
    words = caller.process.args
    assert isinstance(words, list)
    done = subprocess.run([str(words[0]), "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    tools, reasoning = json.loads(done.stdout.splitlines()[-1])
    assert set(TOOL_PARSERS) <= set(tools)
    assert set(REASONING_PARSERS) <= set(reasoning)
