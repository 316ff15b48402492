"""Bodies on the gateway's disk, and in the file of one that stands alone: bounded, whole lines, each batch once."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicp.core.errors import AicpError
from aicp.core.request_log import BodyRecord
from aicp.core.route import RequestLogEntry
from aicp.gateway.body_entries import BodyEntry, Seen, fill, plain
from aicp.gateway.body_file import BodyFile
from aicp.gateway.body_segments import BodySegments, holds_bodies
from aicp.gateway.body_shipping import BodyShipping
from aicp.gateway.leftovers import Leftovers
from aicp.gateway.reassembly import reassemble
from aicp.gateway.slots import take_slot
from aicp.security.keys import make_key

AT = datetime(2026, 1, 1, tzinfo=UTC)
RULE = RequestLogEntry("all", redact=["emails"], max_body_bytes=1000)
JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"


def entry(name: str = "req_1", request: Seen | None = None, answer: Seen | None = None) -> BodyEntry:
    made = BodyEntry(name, "key_1", "shop", "demo", "/v1/chat/completions", AT, "ok", 200)
    fill(made, RULE, request or Seen(), answer or Seen())
    return made


def line(name: str) -> bytes:
    return msgspec.json.encode(entry(name)) + b"\n"


def body(data: bytes, kind: str = JSON, *, size: int | None = None) -> Seen:
    return Seen(kind, data, len(data) if size is None else size)


@given(st.integers(900, 1100), st.text("ab é", max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_part_of_a_secret_is_left_at_the_cut(before: int, filling: str) -> None:
    secret = make_key().secret
    text = json.dumps({"c": ("word " * 300)[:before] + filling + " " + secret}, ensure_ascii=False).encode()
    made = entry(request=body(text[:1000], size=len(text)))
    kept = plain(made.request)
    assert kept is not None
    assert secret[:8] not in kept
    assert len(kept.encode()) <= 1000
    assert (made.request_cut, made.request_bytes) == (len(text) > 1000, len(text))


def test_a_secret_in_pieces_of_a_stream_is_whole_before_it_is_looked_for() -> None:
    secret = make_key().secret
    pieces = [secret[at : at + 4] for at in range(0, len(secret), 4)]
    events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in ["It is ", *pieces, "."]]
    stream = b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events) + b"data: [DONE]\n\n"
    kept = plain(entry(answer=body(stream, EVENTS)).answer)
    assert kept is not None
    assert json.loads(kept)["choices.0.content"] == "It is [redacted:secret]."


def test_streams_of_every_schema_are_put_together() -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": '{"a"'}}
    chat = _stream(
        {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "He"}}]},
        {"id": "c", "choices": [{"index": 1, "delta": {"content": "x"}}, {"index": 0, "delta": {"content": "y"}}]},
        {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]},
        {
            "id": "c",
            "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}}],
        },
        {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"total_tokens": 3}},
    )
    assert json.loads(reassemble(chat)) == {
        "id": "c",
        "choices.0.role": "assistant",
        "choices.0.content": "Hey",
        "choices.1.content": "x",
        "choices.0.tool_calls.0.id": "call_1",
        "choices.0.tool_calls.0.name": "f",
        "choices.0.tool_calls.0.arguments": '{"a":1}',
        "choices.0.finish_reason": "stop",
        "usage": {"total_tokens": 3},
    }
    messages = _stream(
        {"type": "message_start", "message": {"id": "m", "role": "assistant"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "He"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "y"}},
    )
    assert json.loads(reassemble(messages))["content.0.text"] == "Hey"
    responses = _stream(
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "He"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "y"},
    )
    assert json.loads(reassemble(responses)) == {"content.0.0": "Hey"}
    whole = responses + _stream({"type": "response.completed", "response": {"id": "r", "output": []}})
    assert json.loads(reassemble(whole)) == {"id": "r", "output": []}


PIECES: dict[str, object] = {
    "logprobs": {"content": [{"token": "S3c", "top_logprobs": [{"token": "S3c"}]}]},
    "prompt_logprobs": [None, {"1": {"decoded_token": "S3c"}}],
    "token_ids": [7, 8],
    "prompt_token_ids": [7, 8],
}


def test_log_probabilities_are_not_kept() -> None:
    """They would say in pieces what is taken out of the text."""
    hidden = {"content": "postgres://a:S3cretPass@db"}
    answer = {"id": "c", "choices": [{"message": hidden, **PIECES}], **PIECES, "top_logprobs": 5, "usage": {"n": 1}}
    made = entry(answer=body(json.dumps(answer).encode()))
    shown = {"content": "postgres://[redacted:secret]@db"}
    assert json.loads(plain(made.answer) or "") == {
        "id": "c",
        "choices": [{"message": shown}],
        "top_logprobs": 5,
        "usage": {"n": 1},
    }
    assert not made.answer_cut
    none = b'{"id": "c",  "logprobs": null, "a": {"logprobs": []}}'
    assert plain(entry(answer=body(none)).answer) == none.decode()


@given(st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_of_a_cut_answer_nothing_is_kept_from_its_log_probabilities_on(length: int) -> None:
    text = json.dumps({"choices": [{"text": "two words", **PIECES, "message": {"content": "more"}}]}).encode()
    made = entry(answer=body(text[:length], size=len(text)))
    kept = plain(made.answer) or ""
    assert "S3c" not in kept
    assert "7" not in kept
    assert made.answer_cut == (length < len(text))


def test_log_probabilities_of_streams_are_not_kept() -> None:
    last = {"choices": [{"index": 0, "delta": {"content": "Hey"}, **PIECES}], **PIECES}
    assert json.loads(reassemble(_stream(last))) == {"choices.0.content": "Hey"}
    whole = {"type": "response.completed", "response": {"output": [{"content": [{"text": "Hey", **PIECES}]}]}}
    assert json.loads(reassemble(_stream(whole))) == {"output": [{"content": [{"text": "Hey"}]}]}


@pytest.mark.parametrize("left", [True, False])
def test_an_answer_that_breaks_off_loses_its_last_word(left: bool) -> None:
    """Its client left, or it was longer than what is held of it."""
    said = "It is postgres://admin:S3cretPass"
    texts = _stream(*({"choices": [{"index": index, "delta": {"content": said}}]} for index in (0, 1)))
    plainly, written = said.encode(), json.dumps({"choices": [{"text": said}]}).encode()[:-4]
    for data, kind in ((texts, EVENTS), (written, JSON), (plainly, "text/plain")):
        seen = Seen(kind, data, len(data) + (not left), whole=not left)
        made = entry(answer=seen)
        kept = plain(made.answer) or ""
        assert "It is" in kept
        assert "S3c" not in kept
        assert made.answer_cut
    assert said in (plain(entry(answer=body(texts, EVENTS)).answer) or ""), "what ends says all"


def _stream(*events: object) -> bytes:
    return b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events)


def test_what_is_no_text_is_told_by_its_kind_and_size() -> None:
    made = entry(answer=body(b"RIFF", "audio/wav", size=9_000))
    assert (made.answer, made.answer_kind, made.answer_bytes) == (None, "audio/wav", 9_000)


def test_a_line_is_what_the_control_plane_reads() -> None:
    made = entry(request=body(b'{"m":"ann@example.org"}'))
    record = BodyRecord.model_validate_json(msgspec.json.encode(made))
    assert plain(record.request) == '{"m":"[redacted:email]"}'


def test_the_oldest_make_room(tmp_path: Path) -> None:
    segments = BodySegments(tmp_path, most_bytes=1500, segment_bytes=400, reserve_bytes=0)
    for number in range(30):
        segments.append(line(f"req_{number:03d}"))
    segments.seal()
    left = [json.loads(one)["request_id"] for _, path in segments.sealed() for one in segments.lines(path)]
    assert left == [f"req_{number:03d}" for number in range(30 - len(left), 30)]
    assert segments.dropped == 30 - len(left) > 0
    assert sum(path.stat().st_size for _, path in segments.sealed()) < 1500 + 400


def test_bodies_leave_the_rest_of_the_disk_to_usage(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="kept for usage"):
        BodySegments(tmp_path, reserve_bytes=1 << 60).append(line("req_1"))


class Control:
    """Counts a sequence once, as a file does; `mood` is what becomes of the next batch."""

    def __init__(self) -> None:
        self.kept: dict[int, Sequence[bytes]] = {}
        self.mood = ""

    async def bodies(self, gateway_id: str, sequence: int, records: Sequence[bytes]) -> None:
        if self.mood == "away":
            raise AicpError("away")
        self.kept.setdefault(sequence, records)
        if self.mood == "lost":
            raise AicpError("the answer is lost")

    async def usage(self, gateway_id: str, sequence: int, records: Sequence[bytes]) -> None:
        raise AssertionError("there is none")


_STEPS = st.lists(st.sampled_from(["write", "ship", "ship away", "ship lost", "kill", "kill in a line"]), max_size=40)


@given(_STEPS)
@settings(max_examples=100, deadline=None)
async def test_kills_and_lost_answers_lose_and_double_nothing_that_was_written(steps: list[str]) -> None:
    control, written = Control(), 0
    with tempfile.TemporaryDirectory() as folder:
        segments = BodySegments(Path(folder), segment_bytes=600, reserve_bytes=0)
        for step in [*steps, "kill", "ship", "ship"]:
            if step == "write":
                segments.append(line(f"req_{written}"))
                written += 1
            elif step.startswith("ship"):
                control.mood = step.removeprefix("ship").strip()
                with suppress(AicpError):
                    await BodyShipping(segments, "gw_1", control).ship()
            else:
                segments.close()
                last = max(Path(folder).glob("requests-*.log"), default=None)
                if last is not None and "line" in step and last.stat().st_size:
                    with last.open("ab") as file:
                        file.write(b'{"request_id":"req_cut')
                segments = BodySegments(Path(folder), segment_bytes=600, reserve_bytes=0)
        segments.close()
    kept = [json.loads(one)["request_id"] for lines in control.kept.values() for one in lines]
    assert sorted(kept) == sorted(f"req_{number}" for number in range(written))


async def test_what_lies_in_a_place_that_nobody_takes_again_is_shipped_and_kept_answers_go(tmp_path: Path) -> None:
    mine, ended, alive = (take_slot(tmp_path) for _ in range(3))
    control = Control()
    for slot in (mine, ended, alive):
        segments = BodySegments(slot.directory, reserve_bytes=0)
        segments.append(line(f"req_{slot.number}"))
        segments.close()
        for name in ("cache.log", ".cache.log.new"):
            (slot.directory / name).write_bytes(b"answers")
    leftovers = Leftovers(mine, lambda directory: control)
    ended.free()
    control.mood = "away"
    with pytest.raises(AicpError):
        await leftovers.settle()
    control.mood = "lost"
    with pytest.raises(AicpError):
        await leftovers.settle()
    control.mood = ""
    await leftovers.settle()
    assert [json.loads(one)["request_id"] for lines in control.kept.values() for one in lines] == ["req_2"]
    places = ((ended, []), (mine, [".cache.log.new", "cache.log"]), (alive, [".cache.log.new", "cache.log"]))
    for slot, names in places:
        assert sorted(path.name for path in slot.directory.glob("*cache.log*")) == names
        assert holds_bodies(slot.directory) == bool(names)
    again = take_slot(tmp_path)
    assert again.number == 2
    alive.free()
    again.free()
    mine.free()


def test_a_file_takes_a_batch_once_and_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    for number in range(1, 9):
        file = BodyFile(path, most_bytes=500, files=3)  # as after a restart
        for _ in range(2):
            file.write(number, [line(f"req_{number}")])
        with path.open("ab") as opened:
            opened.write(line("req_cut"))  # a crash in the middle of a batch
    BodyFile(path, most_bytes=500, files=3)
    assert sorted(os.listdir(tmp_path)) == ["requests.jsonl", "requests.jsonl.1", "requests.jsonl.2"]
    files = [path.with_name(name) for name in ("requests.jsonl.2", "requests.jsonl.1", "requests.jsonl")]
    lines = [json.loads(one) for file in files for one in file.read_text().splitlines()]
    names = [one["request_id"] for one in lines if "batch" not in one]
    assert names == [f"req_{number}" for number in range(9 - len(names), 9)]
    assert len(names) >= 3
