"""Other formats, engines and kinds of models on the platform: GGUF on llama.cpp, embeddings on the light engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import psutil
import pytest
from openai import OpenAI
from tests.support.gguf import write_demo_gguf
from tests.support.minilm import fetch_minilm
from tests.support.platform import Platform, eventually
from tests.support.serving import Served, import_folder, serving
from tests.support.walk import Walk, demo_module

from aicp.core.model import ModelType
from aicp.core.service import ServiceCreate

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(1800)]
AGREED_SHARE = 0.15


def test_the_first_engine_needs_the_memory_that_was_estimated(walk: Walk) -> None:
    client, name = walk.platform.client, walk.facts["model"]
    plan = client.services.plan(ServiceCreate(name=f"{name}-again", spec=client.services.get(name).spec))
    check_estimate(Served(walk.platform, name, walk.facts["api_key"], plan))


@pytest.fixture(scope="module")
def platform(walk: Walk) -> Iterator[Platform]:
    """The platform of the walk, its own engine stopped: a small machine holds one engine at a time."""
    walk.platform.cli("service", "stop", "aicp-demo")
    yield walk.platform
    walk.platform.cli("service", "start", "aicp-demo")


@pytest.fixture(scope="module")
def gguf(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("gguf")
    write_demo_gguf(folder)
    import_folder(platform, "demo-gguf", folder)
    with serving(platform, "demo-gguf") as served:
        yield served


def test_a_gguf_file_is_served_by_the_engine_that_reads_it(gguf: Served) -> None:
    assert gguf.plan.engine == "llamacpp"
    chosen = {choice.name: choice for choice in gguf.plan.choices}
    assert chosen["engine"].chosen_by == "platform"
    assert "llama.cpp" in chosen["engine"].reason


def test_the_second_engine_knows_the_faq_too(gguf: Served) -> None:
    score = demo_module("score")
    items = score.load_faq()
    wrong = [item.id for item in items if score.identify(gguf.ask(item.question), items) != item.id]
    assert wrong == []


def test_streamed_and_whole_answers_of_the_second_engine_agree(gguf: Served) -> None:
    question = demo_module("score").load_faq()[0].question
    pieces = gguf.stream(question)
    assert len(pieces) > 1, "an engine joins pieces for a slow reader, and never all of them"
    assert "".join(pieces).strip() == gguf.ask(question).strip()


def test_responses_and_messages_on_the_second_engine(gguf: Served) -> None:
    answer = gguf.post("/responses", {"model": gguf.name, "input": "What is aicp?", "temperature": 0})
    assert answer.status_code == 200, answer.text
    assert answer.json()["object"] == "response"
    body = {"model": gguf.name, "messages": [{"role": "user", "content": "What is aicp?"}], "max_tokens": 40}
    answer = gguf.post("/messages", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["content"][0]["text"]


def test_what_the_second_engine_does_not_serve_is_said(gguf: Served) -> None:
    for path, body in (("/embeddings", {"input": "x"}), ("/rerank", {"query": "x", "documents": ["y"]})):
        answer = gguf.post(path, {"model": gguf.name, **body})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not_supported_by_engine")


def test_the_second_engine_needs_the_memory_that_was_estimated(gguf: Served) -> None:
    check_estimate(gguf)


@pytest.fixture(scope="module")
def embedder(platform: Platform) -> Iterator[Served]:
    import_folder(platform, "minilm", fetch_minilm())
    with serving(platform, "minilm") as served:
        yield served


def test_an_embedding_model_is_recognized(embedder: Served) -> None:
    model = embedder.platform.client.models.get("minilm")
    assert model.type == ModelType.EMBEDDING
    assert model.latest is not None
    assert model.latest.license == "apache-2.0"
    assert embedder.plan.engine == "light"


def test_embeddings_through_the_official_client_put_like_beside_like(embedder: Served) -> None:
    client = OpenAI(base_url=embedder.base_url, api_key=embedder.key, max_retries=0)
    texts = [
        "How do I reset my password?",
        "I forgot my login and cannot sign in.",
        "The soup needs more salt.",
        "Add a pinch of seasoning to the broth.",
    ]
    answer = client.embeddings.create(model=embedder.name, input=texts)
    vectors = [item.embedding for item in answer.data]
    assert {len(vector) for vector in vectors} == {384}
    assert answer.usage.prompt_tokens > len(texts)
    near = (cosine(vectors[0], vectors[1]), cosine(vectors[2], vectors[3]))
    far = [cosine(vectors[a], vectors[b]) for a in (0, 1) for b in (2, 3)]
    assert min(near) > max(far) + 0.1
    again = client.embeddings.create(model=embedder.name, input=texts[0]).data[0].embedding
    assert cosine(again, vectors[0]) > 0.999


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def test_rerank_and_score_put_the_right_text_first(embedder: Served) -> None:
    documents = ["The soup needs more salt.", "Click 'forgot password' and follow the link.", "It rains in April."]
    query = "How do I reset my password?"
    ranked = embedder.post("/rerank", {"model": embedder.name, "query": query, "documents": documents})
    assert ranked.status_code == 200, ranked.text
    results = ranked.json()["results"]
    assert results[0]["index"] == 1
    assert [one["relevance_score"] for one in results] == sorted((r["relevance_score"] for r in results), reverse=True)
    scored = embedder.post("/score", {"model": embedder.name, "text_1": query, "text_2": documents})
    assert scored.status_code == 200, scored.text
    scores = [one["score"] for one in scored.json()["data"]]
    assert max(range(3), key=scores.__getitem__) == 1


def test_a_model_for_embeddings_does_not_chat(embedder: Served) -> None:
    messages = [{"role": "user", "content": "hi"}]
    for path in ("/chat/completions", "/responses", "/messages"):
        answer = embedder.post(path, {"model": embedder.name, "messages": messages, "input": "hi", "max_tokens": 1})
        assert answer.status_code == 400, (path, answer.text)
        assert "not" in answer.json()["error"]["message"]


def test_a_text_beyond_the_context_is_refused(embedder: Served) -> None:
    answer = embedder.post("/embeddings", {"model": embedder.name, "input": "word " * 2000})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "context_length_exceeded"


def test_the_embedding_model_needs_the_memory_that_was_estimated(embedder: Served) -> None:
    check_estimate(embedder)


def check_estimate(served: Served) -> None:
    """The driver's estimate against the peak that the agent measured, after a full load of users and contexts."""
    long = "word " * (served.plan.context_length - 24)
    embeds = served.platform.client.models.get(served.plan.model).type == ModelType.EMBEDDING
    for _ in range(2):
        if embeds:
            served.post("/embeddings", {"model": served.name, "input": [long] * served.plan.users})
            continue
        # Half of the words: in the demonstration's vocabulary a word with its space is two tokens.
        body = {"model": served.name, "prompt": [long[: len(long) // 2]] * served.plan.users, "max_tokens": 1}
        assert served.post("/completions", body).status_code == 200

    def error() -> float | None:
        peak = served.replica().memory_peak_bytes
        return None if peak is None else (served.estimated_bytes() - peak) / peak

    # The agent measures every few seconds.
    eventually(
        "the peak is near the estimate", lambda: (e := error()) is not None and abs(e) < AGREED_SHARE, seconds=20
    )


def test_engines_run_as_an_unprivileged_user(embedder: Served) -> None:
    pid = embedder.replica().pid
    assert pid is not None
    if psutil.Process().uids().effective != 0:
        pytest.skip("not run: only a platform that is started as root changes the user")
    engine = psutil.Process(pid)
    for process in (engine, *engine.children(recursive=True)):
        assert process.uids().effective != 0, process.cmdline()
        assert process.uids().real != 0, process.cmdline()
