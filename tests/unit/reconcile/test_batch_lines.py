"""Lines of batches: what is refused and where, and what comes of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aicp.core.batch import MAX_LINE_BYTES, BatchEndpoint
from aicp.reconcile.batch_lines import BatchLine, Outcome, check, read, result

CHAT = BatchEndpoint.CHAT
BODY = {"model": "demo", "messages": [{"role": "user", "content": "hé"}]}


def line(custom_id: Any = "a", **changes: Any) -> bytes:
    value = {"custom_id": custom_id, "method": "POST", "url": CHAT.value, "body": BODY, **changes}
    return json.dumps({name: item for name, item in value.items() if item is not ...}).encode() + b"\n"


def empty(number: int) -> BatchLine:
    return BatchLine(number, "a", 2, lambda: b"{}")


def test_a_right_file_is_counted_and_read(tmp_path: Path) -> None:
    other = {"model": "other", "n": 1}
    lines = [line("a"), b"\n", line("b", method=..., body=other)]
    found = check(lines, CHAT)
    assert (found.total, found.model, found.problems) == (2, "demo", [])
    (tmp_path / "in").write_bytes(b"".join(lines))
    with (tmp_path / "in").open("rb") as source:
        read_lines = list(read(source, set()))
        assert [(each.number, each.custom_id) for each in read_lines] == [(1, "a"), (3, "b")]
        assert [json.loads(each.body()) for each in read_lines] == [BODY, other]
        source.seek(0)
        assert [each.custom_id for each in read(source, {"a"})] == ["b"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"{", "invalid_json_line"),
        (b"[]", "invalid_json_line"),
        (b"[" * 100_000, "invalid_json_line"),
        (b'{"custom_id": "\xff"}', "invalid_json_line"),
        (line(...), "missing_required_parameter"),
        (line(7), "missing_required_parameter"),
        (line(""), "missing_required_parameter"),
        (line("x" * 513), "missing_required_parameter"),
        (line(method="GET"), "invalid_method"),
        (line(url="/v1/embeddings"), "mismatched_endpoint"),
        (line(url=...), "mismatched_endpoint"),
        (line(body=...), "missing_required_parameter"),
        (line(body=[]), "missing_required_parameter"),
        (line(body={"messages": []}), "missing_required_parameter"),
        (line(body={**BODY, "stream": True}), "streaming_unsupported"),
        (b" " * MAX_LINE_BYTES + line(), "line_too_large"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(text: bytes, code: str) -> None:
    found = check([line("first"), text], CHAT)
    assert [(problem.line, problem.code) for problem in found.problems] == [(2, code)]


def test_the_same_custom_id_twice_is_refused() -> None:
    found = check([line("a"), line("b"), line("a")], CHAT)
    assert [(problem.line, problem.code) for problem in found.problems] == [(3, "duplicate_custom_id")]


def test_an_empty_file_and_one_of_too_many_lines_are_refused() -> None:
    assert [problem.code for problem in check([b"\n"], CHAT).problems] == ["empty_file"]
    many = (line(str(number)) for number in range(50_001))
    assert [problem.code for problem in check(many, CHAT).problems] == ["too_many_requests"]


def test_no_more_than_a_hundred_problems_are_told() -> None:
    assert len(check([b"x"] * 1000, CHAT).problems) == 100


def test_an_answer_is_passed_on_as_it_came_on_one_line() -> None:
    request = empty(7)
    text = result(
        "batch_1", request, Outcome(200, b'{\n "logprob": -0.10000000000000000001,\n "t": "\xc3\xa9"}', "req_1")
    )
    assert b"\n" not in text
    assert b"-0.10000000000000000001" in text
    value = json.loads(text)
    assert (value["id"], value["custom_id"], value["error"]) == ("batch_req_1_7", "a", None)
    assert value["response"] == {"status_code": 200, "request_id": "req_1", "body": {"logprob": -0.1, "t": "é"}}


def test_an_answer_that_is_no_json_becomes_a_text() -> None:
    value = json.loads(result("batch_1", empty(1), Outcome(502, b"\xff oops\n")))
    assert value["response"]["body"] == "\ufffd oops\n"


def test_an_error_has_no_response_and_goes_to_the_file_of_errors() -> None:
    outcome = Outcome(error=("batch_expired", "Too late."))
    value = json.loads(result("batch_1", empty(1), outcome))
    assert (value["response"], value["error"]) == (None, {"code": "batch_expired", "message": "Too late."})
    assert not outcome.answered
    assert not Outcome(400).answered
    assert Outcome(200).answered
