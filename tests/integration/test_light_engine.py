"""The light engine as its driver starts it, from its own environment: equal to plain torch, small and quick."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.engines import RunningEngine, start_engine, version_of
from tests.support.light_reference import (
    DEMO,
    DOCUMENTS,
    FAQ,
    FAQ_ANSWERS,
    FAQ_QUESTIONS,
    FIXTURE,
    QUERY,
    SENTENCES,
    TEXTS,
)
from tests.support.minilm import fetch_minilm
from tests.support.tiny_bert import write_tiny_bert
from tests.support.tiny_encoders import write_tiny_encoder

from aicp.core.model import ModelType
from aicp.core.quantity import MIB
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, Sizing

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(900)]

REFERENCE: dict[str, list[list[float]]] = json.loads(FIXTURE.read_text("utf-8"))
DRIVER = Registry[Engine]("aicp.engines").get("light")
CONTEXT = 256
MOST_SECONDS, MOST_BYTES = 3.0, 350 * MIB


def ask(engine: RunningEngine, path: str, **body: Any) -> Any:
    status, answer = engine.request("POST", path, {"model": "m", **body})
    assert status == 200, answer
    return answer


def vectors(answer: Any) -> list[list[float]]:
    return [item["embedding"] for item in answer["data"]]


def assert_equal(found: list[list[float]], expected: list[list[float]], error: float = 1e-3) -> None:
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert row == pytest.approx(wanted, abs=error)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    yield from start_engine("light", fetch_minilm(), tmp_path_factory.mktemp("minilm"), context_length=CONTEXT)


def test_embeddings_equal_plain_torch_alone_and_in_a_batch(minilm: RunningEngine) -> None:
    together = vectors(ask(minilm, "/v1/embeddings", input=SENTENCES))
    assert_equal(together, REFERENCE["minilm"])
    for sentence, expected in zip(SENTENCES, REFERENCE["minilm"], strict=True):
        assert_equal(vectors(ask(minilm, "/v1/embeddings", input=sentence)), [expected])
    assert all(math.hypot(*vector) == pytest.approx(1, abs=1e-5) for vector in together)


def test_many_callers_get_their_own_answers_in_shared_batches(minilm: RunningEngine) -> None:
    def counts() -> tuple[float, float]:
        lines = dict(line.split() for line in minilm.request("GET", "/metrics")[1].splitlines())
        return float(lines["light:batches_total"]), float(lines["light:batched_items_total"])

    batches, items = counts()
    wanted = [index % len(SENTENCES) for index in range(64)]
    with ThreadPoolExecutor(16) as callers:
        found = list(callers.map(lambda index: ask(minilm, "/v1/embeddings", input=SENTENCES[index]), wanted))
    assert_equal([vectors(answer)[0] for answer in found], [REFERENCE["minilm"][index] for index in wanted])
    after_batches, after_items = counts()
    assert after_items - items == 64
    assert after_batches - batches < 48, "callers that waited at the same time were computed together"


def test_tokens_and_base64_mean_the_same_as_text(minilm: RunningEngine) -> None:
    told = ask(minilm, "/tokenize", prompt=SENTENCES[0])
    assert told["count"] == len(told["tokens"])
    assert told["max_model_len"] == CONTEXT
    assert_equal(vectors(ask(minilm, "/v1/embeddings", input=told["tokens"])), [REFERENCE["minilm"][0]])
    (text,) = vectors(ask(minilm, "/v1/embeddings", input=[SENTENCES[0]], encoding_format="base64"))
    assert isinstance(text, str)
    assert_equal([list(struct.unpack("<384f", base64.b64decode(text)))], [REFERENCE["minilm"][0]])
    assert "publish a model" in ask(minilm, "/detokenize", tokens=told["tokens"])["prompt"]


def test_two_embeddings_are_ordered_by_their_cosine(minilm: RunningEngine) -> None:
    documents = ["Publish a model.", "The weather is fine.", "A model becomes a service when it is published."]
    answer = ask(minilm, "/v1/rerank", query=SENTENCES[0], documents=documents, top_n=2)
    assert [item["index"] for item in answer["results"]] in ([0, 2], [2, 0])
    query, *rest = vectors(ask(minilm, "/v1/embeddings", input=[SENTENCES[0], *documents]))
    for item in answer["results"]:
        expected = sum(a * b for a, b in zip(query, rest[item["index"]], strict=True))
        assert item["relevance_score"] == pytest.approx(expected, abs=1e-5)


def test_a_text_beyond_the_context_is_refused_or_cut_as_asked(minilm: RunningEngine) -> None:
    long = "word " * 400
    status, answer = minilm.request("POST", "/v1/embeddings", {"model": "m", "input": long})
    assert status == 400
    assert "402 tokens" in answer["error"]["message"]
    cut = ask(minilm, "/v1/embeddings", input=long, truncate_prompt_tokens=-1)
    assert cut["usage"]["prompt_tokens"] == CONTEXT
    assert vectors(cut)[0] == pytest.approx(vectors(ask(minilm, "/v1/embeddings", input="word " * 254))[0], abs=1e-4)


def test_a_text_of_any_length_costs_no_more_than_the_longest(minilm: RunningEngine) -> None:
    """Cutting before the tokens are found changes nothing; what is not to be cut is refused unread."""
    long = "word " * 1_000_000
    cut = vectors(ask(minilm, "/v1/embeddings", input=long, truncate_prompt_tokens=-1))[0]
    assert cut == pytest.approx(vectors(ask(minilm, "/v1/embeddings", input="word " * 254))[0], abs=1e-4)
    for path, field in (("/v1/embeddings", "input"), ("/tokenize", "prompt")):
        status, answer = minilm.request("POST", path, {"model": "m", field: long})
        assert status == 400
        assert "5,000,000 characters" in answer["error"]["message"]
    body = {"model": "m", "input": ["word " * 1600] * 1100}
    status, answer = minilm.request("POST", "/v1/embeddings", body)
    assert status == 413
    assert "8,800,000 characters" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/embeddings", {"model": "other", "input": "a"}, "does not exist"),
        ("/v1/embeddings", {"model": "m", "input": []}, "from 1 to"),
        ("/v1/embeddings", {"model": "m", "input": [10**9]}, "vocabulary"),
        ("/v1/embeddings", {"model": "m", "input": "a", "dimensions": 7}, "384 dimensions"),
        ("/v1/ocr", {"model": "m", "image": "data:image/png;base64,AAAA"}, "serves /detokenize, /tokenize, /v1/embed"),
        ("/v1/rerank", {"model": "m", "query": "a", "documents": [3]}, "A document"),
        ("/v1/nothing", {"model": "m"}, "There is nothing at"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    minilm: RunningEngine, path: str, body: dict[str, Any], words: str
) -> None:
    status, answer = minilm.request("POST", path, body)
    assert status in (400, 404)
    assert words in answer["error"]["message"]


def test_the_token_is_needed_for_all_but_health(minilm: RunningEngine) -> None:
    assert minilm.request("POST", "/v1/embeddings", {"model": "m", "input": "a"}, token="wrong")[0] == 401
    assert minilm.request("GET", "/v1/models", token="wrong")[0] == 401
    assert minilm.request("GET", "/v1/models")[0] == 200
    assert minilm.request("GET", "/health", token="wrong")[0] == 200


def test_promised_metrics_exist(minilm: RunningEngine) -> None:
    text = minilm.request("GET", "/metrics")[1]
    assert all(name in text for name in DRIVER.metrics.values())


def test_it_is_small_and_its_estimate_holds(minilm: RunningEngine) -> None:
    ask(minilm, "/v1/embeddings", input=["word " * 250] * 64)
    peak = max(minilm.peak_bytes, minilm.memory_bytes())
    assert peak < MOST_BYTES
    version, model_type = version_of(fetch_minilm())
    assert model_type is ModelType.EMBEDDING
    parts = DRIVER.estimate(version, model_type, Mode.BALANCED, Sizing(CONTEXT, 32, 2.0))
    assert sum(part.bytes for part in parts) == pytest.approx(peak, rel=0.15)


def test_it_is_up_in_under_three_seconds_of_processor_time(tmp_path: Path) -> None:
    """Seconds on an idle machine; on a busy one the wall shows the others."""
    for engine in start_engine("light", fetch_minilm(), tmp_path, context_length=CONTEXT):
        assert engine.cpu_seconds() < MOST_SECONDS
        assert engine.memory_bytes() < MOST_BYTES
        assert engine.stop() < 5


def test_int8_stays_close(tmp_path: Path) -> None:
    flags = {"precision": "int8"}
    for engine in start_engine(
        "light", fetch_minilm(), tmp_path, mode=Mode.CUSTOM, flags=flags, context_length=CONTEXT
    ):
        found = vectors(ask(engine, "/v1/embeddings", input=SENTENCES))
        for row, expected in zip(found, REFERENCE["minilm"], strict=True):
            assert sum(a * b for a, b in zip(row, expected, strict=True)) > 0.98


def test_a_cross_encoder_scores_as_plain_torch(tmp_path: Path) -> None:
    model = write_tiny_bert(tmp_path / "bert")
    expected = [1 / (1 + math.exp(-row[0])) for row in REFERENCE["bert-cross-encoder"]]
    for engine in start_engine("light", model, tmp_path, context_length=CONTEXT):
        found = ask(engine, "/v1/rerank", query=QUERY, documents=DOCUMENTS)["results"]
        order = sorted(range(len(DOCUMENTS)), key=lambda index: -expected[index])
        assert [item["index"] for item in found] == order
        for item in found:
            assert item["relevance_score"] == pytest.approx(expected[item["index"]], abs=1e-3)
            assert item["document"]["text"] == DOCUMENTS[item["index"]]
        scores = ask(engine, "/v1/score", text_1=QUERY, text_2=DOCUMENTS)["data"]
        assert [item["score"] for item in scores] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", ["roberta-classifier", "distilbert-classifier", "xlm-roberta-several"])
def test_classifiers_of_every_family_answer_as_plain_torch(name: str, tmp_path: Path) -> None:
    model = write_tiny_encoder(tmp_path / "model", name)
    for engine in start_engine("light", model, tmp_path, context_length=60):
        results = ask(engine, "/v1/moderations", input=TEXTS)["results"]
        for result, logits in zip(results, REFERENCE[name], strict=True):
            expected = [1 / (1 + math.exp(-value)) for value in logits] if name.endswith("several") else softmax(logits)
            assert list(result["category_scores"]) == ["safe", "rude", "spam"]
            assert list(result["category_scores"].values()) == pytest.approx(expected, abs=1e-3)
            assert result["flagged"] is (max(expected[1:]) >= 0.5)


def softmax(logits: list[float]) -> list[float]:
    raised = [math.exp(value) for value in logits]
    return [value / sum(raised) for value in raised]


def test_an_encoder_without_pooling_settings_is_averaged(tmp_path: Path) -> None:
    model = write_tiny_encoder(tmp_path / "model", "bert-embedding")
    for engine in start_engine("light", model, tmp_path, model_type=ModelType.EMBEDDING, context_length=60):
        assert_equal(vectors(ask(engine, "/v1/embeddings", input=TEXTS)), REFERENCE["bert-embedding"])


def test_the_demonstration_cross_encoder_finds_answers_of_the_faq(tmp_path: Path) -> None:
    """Its scores are torch's. Far above chance, which puts the right answer of 29 first once in 29 questions."""
    answers = [row["answer"] for row in FAQ]
    scores = [1 / (1 + math.exp(-row[0])) for row in REFERENCE["demo-rerank"]]
    for engine in start_engine("light", DEMO / "rerank" / "model", tmp_path, context_length=128):
        for number, question in enumerate(FAQ_QUESTIONS):
            found = ask(engine, "/v1/score", text_1=question, text_2=FAQ_ANSWERS)["data"]
            expected = scores[number * len(FAQ_ANSWERS) :][: len(FAQ_ANSWERS)]
            assert [item["score"] for item in found] == pytest.approx(expected, abs=1e-3)
        orders = [ask(engine, "/v1/rerank", query=row["question"], documents=answers)["results"] for row in FAQ]
        first = sum(results[0]["index"] == index for index, results in enumerate(orders))
        assert first >= len(FAQ) // 2


def test_models_of_one_process_answer_each_under_its_own_name(tmp_path: Path) -> None:
    minilm = str(fetch_minilm())
    more = ["--model", "small", minilm, "--int8", "small"]
    for engine in start_engine("light", fetch_minilm(), tmp_path, context_length=CONTEXT, more=more):
        listed = engine.request("GET", "/v1/models")[1]["data"]
        assert [item["id"] for item in listed] == ["m", "small"]
        assert_equal(vectors(ask(engine, "/v1/embeddings", input=SENTENCES)), REFERENCE["minilm"])
        small = vectors(ask(engine, "/v1/embeddings", model="small", input=SENTENCES))
        assert small != vectors(ask(engine, "/v1/embeddings", input=SENTENCES))
        for row, expected in zip(small, REFERENCE["minilm"], strict=True):
            assert sum(a * b for a, b in zip(row, expected, strict=True)) > 0.98
