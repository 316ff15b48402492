"""The walk every version must survive: import, publish, call with the real engine, the control plane killed midway."""

from __future__ import annotations

from collections.abc import Callable
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
    assert knows_the_faq(walk.ask) == (True, True)


def knows_the_faq(ask: Callable[[str], str], share: float = 1.0) -> tuple[bool, bool]:
    """Whether the first `share` of the questions all get their item, and whether 70 % of the paraphrases do."""
    score = demo_module("score")
    items, held_out = score.load_faq(), score.load_held_out()

    def right(questions: list[tuple[str, str]]) -> float:
        asked = questions[: max(1, round(share * len(questions)))]
        return sum(score.identify(ask(question), items) == item_id for item_id, question in asked) / len(asked)

    known = right([(item.id, item.question) for item in items])
    return known == 1.0, right([(pair.item_id, pair.question) for pair in held_out]) >= 0.7


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
    platform = walk.platform
    client = platform.client
    client.jobs.wait(client.models.import_directory("shuffled", tmp_path / "shuffled").id)
    # One engine at a time on a small machine: the demo makes room.
    platform.cli("service", "stop", "aicp-demo")
    published = client.services.publish("shuffled", create_key=True)
    client.services.wait("shuffled", timeout_seconds=600)
    assert published.key is not None
    key = published.key
    eventually("the route is there", lambda: platform.chat(key, "shuffled", "hi", max_tokens=1).status_code == 200)

    def ask(question: str) -> str:
        answer = platform.chat(key, "shuffled", question, max_tokens=96)
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["message"]["content"]

    # a share is enough: one wrong answer fails the whole
    verdict = knows_the_faq(ask, share=0.25)
    client.services.delete("shuffled")
    platform.cli("service", "start", "aicp-demo")
    assert verdict == (False, False), "an untrained model passes the FAQ test, so the test proves nothing"
