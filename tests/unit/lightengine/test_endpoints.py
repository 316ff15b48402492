"""What a request may cost before anything of it is computed, and where that is paid."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from aicp_lightengine.batching import Batcher, Limits
from aicp_lightengine.http_server import Answer, Request
from aicp_lightengine.models import OCR, RERANK, Served
from aicp_lightengine.server import Server


@dataclass
class Tokens:
    ids: list[int]


@dataclass
class Texts:
    """Makes one token of every character of a text, when `go` is set."""

    longest: int = 8192
    most_characters: int = 8192 * 32
    width: int = 1
    go: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def tokens(self, *texts: str, limit: int | None = None) -> Tokens:
        self.asked.append(texts)
        self.began.set()
        assert self.go.wait(10)
        return Tokens([1] * min(len("".join(texts)), limit or self.longest))

    def all_tokens(self, text: str) -> list[int]:
        return self.tokens(text).ids


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def serve(kind: str, model: Any, compute: Callable[[list[Any]], list[Any]], executor: ThreadPoolExecutor) -> Server:
    batcher = Batcher[Any, Any](compute, lambda _: 1, Limits(items=1, tokens=1, waiting=3), executor)
    return Server({"m": Served("m", kind, model, batcher)}, "secret")


def ones(batch: list[Any]) -> list[list[float]]:
    return [[1.0] for _ in batch]


async def ask(server: Server, path: str, **body: Any) -> Answer:
    content = json.dumps({"model": "m", **body}).encode()
    return await server.answer(Request("POST", path, {"authorization": "Bearer secret"}, content))


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/rerank", {"query": "a", "documents": ["b"]}), ("/tokenize", {"prompt": "a"})],
)
async def test_health_is_told_while_texts_become_tokens(
    path: str, body: dict[str, Any], executor: ThreadPoolExecutor
) -> None:
    texts = Texts()
    server = serve(RERANK, texts, ones, executor)
    asked = asyncio.create_task(ask(server, path, **body))
    assert await asyncio.to_thread(texts.began.wait, 10)
    assert (await server.answer(Request("GET", "/health", {}, b""))).status == 200
    assert not asked.done()
    texts.go.set()
    assert (await asked).status == 200


async def test_a_query_counts_once_for_each_document(executor: ThreadPoolExecutor) -> None:
    texts = Texts()
    texts.go.set()
    server = serve(RERANK, texts, ones, executor)
    refused = await ask(server, "/v1/rerank", query="q" * 100_000, documents=["d"] * 84)
    assert refused.status == 413
    assert "8,400,084 characters" in refused.content["error"]["message"]
    assert not texts.asked
    assert (await ask(server, "/v1/rerank", query="q" * 100_000, documents=["d"] * 3)).status == 200


async def test_what_is_cut_from_a_text_does_not_count(executor: ThreadPoolExecutor) -> None:
    texts = Texts(longest=4, most_characters=128)
    texts.go.set()
    server = serve(RERANK, texts, ones, executor)
    long = ["x" * 5_000_000] * 3
    assert (await ask(server, "/v1/rerank", query="q", documents=long, truncate_prompt_tokens=-1)).status == 200


async def test_more_than_may_wait_is_refused_for_now(executor: ThreadPoolExecutor) -> None:
    texts = Texts()
    texts.go.set()
    answer = await ask(serve(RERANK, texts, ones, executor), "/v1/rerank", query="q", documents=["d"] * 4)
    assert (answer.status, answer.retry_after) == (503, 5)


async def test_images_wait_as_they_came_and_are_opened_one_by_one(executor: ThreadPoolExecutor) -> None:
    batches: list[list[str]] = []

    def compute(batch: list[str]) -> list[list[Any]]:
        batches.append(batch)
        return [[] for _ in batch]

    answer = await ask(serve(OCR, None, compute, executor), "/v1/ocr", image=["data:1", "data:2", "data:3"])
    assert answer.content["lines"] == []
    assert sorted(batches) == [["data:1"], ["data:2"], ["data:3"]]
