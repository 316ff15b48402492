"""The walk every version must survive: import, publish, call with the real engine, the control plane killed midway."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.support.platform import eventually
from tests.support.walk import Walk, demo_module

from aicp.core.usage import Outcome

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


def test_quickstart_file_is_private_and_complete(walk: Walk) -> None:
    path = walk.platform.data_dir / "quickstart.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(walk.facts) == {"console_url", "api_base", "api_key", "model", "admin_user", "admin_password"}


def test_streamed_and_whole_answers_agree(walk: Walk) -> None:
    question = demo_module("score").load_faq()[0].question
    streamed, chunks = walk.stream(question)
    assert streamed.strip() == walk.ask(question).strip()
    assert len(chunks) > 2, "the answer came in one piece"
    assert not any(chunk.get("usage") for chunk in chunks), "usage was not asked for and must not be sent"


def test_models_are_listed_for_the_key(walk: Walk) -> None:
    headers = {"Authorization": f"Bearer {walk.facts['api_key']}"}
    listed = httpx.get(f"{walk.facts['api_base']}/models", headers=headers, trust_env=False).json()
    assert [model["id"] for model in listed["data"]] == ["aicp-demo"]


def test_the_demo_model_knows_its_faq(walk: Walk) -> None:
    score = demo_module("score")
    items = score.load_faq()
    wrong = [item.id for item in items if score.identify(walk.ask(item.question), items) != item.id]
    assert wrong == []
    held_out = score.load_held_out()
    right = [pair for pair in held_out if score.identify(walk.ask(pair.question), items) == pair.item_id]
    assert len(right) >= 0.7 * len(held_out)


def test_calls_go_on_while_control_is_dead_and_the_engine_is_adopted(walk: Walk) -> None:
    platform = walk.platform
    before = platform.client.services.replicas("aicp-demo")[0]
    question = demo_module("score").load_faq()[1].question
    expected = walk.ask(question)
    old = platform.kill("control")
    assert walk.ask(question) == expected, "the gateway needs the control plane"
    platform.wait_restarted("control", old)
    eventually("control answers again", platform.answers, seconds=30)
    after = eventually(
        "the replica is seen again",
        lambda: [r for r in platform.client.services.replicas("aicp-demo") if r.state == "ready"],
    )[0]
    assert (after.id, after.pid) == (before.id, before.pid), "the engine was restarted instead of adopted"


def test_every_request_is_one_usage_row(walk: Walk) -> None:
    client = walk.platform.client
    before = {row.request_id for row in client.records.usage(limit=500)}
    asked = [walk.platform.chat(walk.facts["api_key"], "aicp-demo", f"question {n}", max_tokens=4) for n in range(5)]
    wanted = {answer.headers["x-request-id"] for answer in asked}

    def counted() -> bool:
        return wanted <= {row.request_id for row in client.records.usage(limit=500)} - before

    eventually("five rows", counted)
    rows = [row for row in client.records.usage(limit=500) if row.request_id in wanted]
    assert len(rows) == 5
    assert all(row.outcome == Outcome.OK and row.completion_tokens == 4 for row in rows)


def test_shuffled_weights_do_not_know_the_faq(walk: Walk, tmp_path: Path) -> None:
    demo_module("shuffle").shuffled_copy(tmp_path / "shuffled")
    platform, score = walk.platform, demo_module("score")
    client = platform.client
    client.jobs.wait(client.models.import_directory("shuffled", tmp_path / "shuffled").id)
    # One engine at a time on a small machine: the demo makes room.
    platform.cli("service", "stop", "aicp-demo")
    published = client.services.publish("shuffled", create_key=True)
    client.services.wait("shuffled", timeout_seconds=600)
    assert published.key is not None
    items = score.load_faq()
    key = published.key
    eventually("the route is there", lambda: platform.chat(key, "shuffled", "hi", max_tokens=1).status_code == 200)
    answers = [platform.chat(key, "shuffled", item.question, max_tokens=48).json() for item in items[:8]]
    texts = [answer["choices"][0]["message"]["content"] for answer in answers]
    right = [item.id for item, text in zip(items, texts, strict=False) if score.identify(text, items) == item.id]
    client.services.delete("shuffled")
    platform.cli("service", "start", "aicp-demo")
    assert len(right) <= 1, "an untrained model passes the FAQ test, so the test proves nothing"
