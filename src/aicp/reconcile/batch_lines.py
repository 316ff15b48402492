"""Lines of batches in OpenAI's form: read and checked, and the lines that come of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO

import msgspec

from aicp.core.batch import MAX_LINE_BYTES, MAX_LINES, BatchEndpoint, BatchProblem

_MOST_PROBLEMS = 100
_LONGEST_ID = 512
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
EXPIRED = ("batch_expired", "The request was not run before the batch's completion window ended.")
NO_ANSWER = "The model's answer to this request never came whole."


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One request. `number` counts from 1; its JSON, of at most `size` bytes, is read by `body` when it is needed."""

    number: int
    custom_id: str
    size: int
    body: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request: the gateway's answer (`status` and `body`), or `error` as (code, message)."""

    status: int = 0
    body: bytes = b""
    request_id: str = ""
    error: tuple[str, str] | None = None

    @property
    def answered(self) -> bool:
        """Whether it goes to the output file, and not to that of errors."""
        return self.error is None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


class _Named(msgspec.Struct):
    custom_id: str


class _Line(msgspec.Struct):
    """A checked line; its body stays as it was written."""

    body: msgspec.Raw


class _Wrong(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look over a whole input file found; `problems` is empty for one that can be run."""

    total: int
    model: str | None
    problems: list[BatchProblem]


def check(lines: Iterable[bytes], endpoint: BatchEndpoint) -> Checked:
    """Looks over the lines of an input file; at most the first 100 problems are told."""
    problems: list[BatchProblem] = []
    seen: set[str] = set()
    total, model = 0, None
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        total += 1
        if total > MAX_LINES:
            return Checked(total, model, [_problem("too_many_requests", f"A batch has at most {MAX_LINES:,} lines.")])
        try:
            value = _read(text, endpoint)
            if value["custom_id"] in seen:
                raise _Wrong("duplicate_custom_id", "Another line has the same custom_id.", "custom_id")
            seen.add(value["custom_id"])
            model = model or value["body"]["model"]
        except _Wrong as wrong:
            problems.append(_problem(wrong.code, wrong.message, number, wrong.param))
            if len(problems) >= _MOST_PROBLEMS:
                break
    if not total:
        problems.append(_problem("empty_file", "The input file has no line."))
    return Checked(total, model, problems)


def read(source: BinaryIO, done: set[str]) -> Iterator[BatchLine]:
    """The lines of a checked file that have no result yet. It stays open for as long as their bodies are read."""
    number = start = 0
    while text := source.readline():
        number, size = number + 1, len(text)
        name = msgspec.json.decode(text, type=_Named).custom_id if text.strip() else None
        del text  # a line that waits for its turn holds no memory
        if name is not None and name not in done:
            yield BatchLine(number, name, size, partial(_body, source.fileno(), start, size))
        start += size


def result(batch_id: str, line: BatchLine, outcome: Outcome) -> bytes:
    """The line that goes to an output or error file, without its newline."""
    response = None
    if outcome.error is None:
        response = {"status_code": outcome.status, "request_id": outcome.request_id, "body": _json(outcome.body)}
    error = None if outcome.error is None else dict(zip(("code", "message"), outcome.error, strict=True))
    name = f"batch_req_{batch_id.removeprefix('batch_')}_{line.number}"
    value = {"id": name, "custom_id": line.custom_id, "response": response, "error": error}
    return msgspec.json.encode(value)


def _body(handle: int, start: int, size: int) -> bytes:
    return bytes(msgspec.json.decode(os.pread(handle, size, start), type=_Line).body)


def _read(text: bytes, endpoint: BatchEndpoint) -> dict[str, Any]:
    if len(text) > MAX_LINE_BYTES:
        raise _Wrong("line_too_large", f"A line may hold at most {MAX_LINE_BYTES // 2**20} MiB.")
    try:
        value = msgspec.json.decode(text)
    except _NOT_JSON as error:
        raise _Wrong("invalid_json_line", "The line is not valid JSON.") from error
    if not isinstance(value, dict):
        raise _Wrong("invalid_json_line", "The line is not a JSON object.")
    name = value.get("custom_id")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID:
        message = f"A line needs a custom_id, a text of at most {_LONGEST_ID} characters."
        raise _Wrong("missing_required_parameter", message, "custom_id")
    if value.get("method", "POST") != "POST":
        raise _Wrong("invalid_method", "The method of every line is POST.", "method")
    if value.get("url") != endpoint:
        raise _Wrong("mismatched_endpoint", f"The url of every line is the batch's endpoint, {endpoint}.", "url")
    _check_body(value.get("body"))
    return value


def _check_body(body: Any) -> None:
    if not isinstance(body, dict):
        raise _Wrong("missing_required_parameter", "A line needs a body, a JSON object.", "body")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise _Wrong("missing_required_parameter", "The body needs a model.", "body.model")
    if body.get("stream"):
        raise _Wrong("streaming_unsupported", "A batch's requests cannot stream.", "body.stream")


def _problem(code: str, message: str, line: int | None = None, param: str | None = None) -> BatchProblem:
    return BatchProblem(code=code, message=message, line=line, param=param)


def _json(body: bytes) -> Any:
    """An answer's body as it came, on one line; as a text when it is no JSON."""
    try:
        msgspec.json.decode(body)
        return msgspec.Raw(msgspec.json.format(body, indent=-1))
    except _NOT_JSON:
        return body.decode(errors="replace")
