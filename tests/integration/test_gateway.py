"""A client that leaves the real engine in the middle of an answer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.platform import eventually
from tests.support.walk import Walk

from aicp.core.usage import Outcome, UsageRecord

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(1800)]
QUESTION: Any = [{"role": "user", "content": "What is aicp?"}]


def test_a_client_that_leaves_is_counted_as_canceled_and_frees_the_engine(walk: Walk) -> None:
    key, model = walk.facts["api_key"], walk.facts["model"]
    eventually("the demo answers", lambda: walk.platform.chat(key, model, "Hi", max_tokens=1).is_success, seconds=300)
    body = {"model": model, "messages": QUESTION, "stream": True, "ignore_eos": True, "max_tokens": 400}
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{walk.facts['api_base']}/chat/completions"
    with httpx.stream("POST", url, json=body, headers=headers, trust_env=False, timeout=60) as answer:
        request_id = answer.headers["x-request-id"]
        next(answer.iter_lines())

    def counted() -> list[UsageRecord]:
        return [row for row in walk.platform.client.records.usage(limit=50) if row.request_id == request_id]

    (row,) = eventually("the row is there", counted)
    assert row.outcome == Outcome.CANCELED
    assert row.duration_ms is not None
    whole = walk.platform.chat(key, model, "Hi", max_tokens=1)
    assert whole.status_code == 200
