"""Log lines of all processes."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from aicp.security.redaction import redact
from aicp.telemetry.logs import configure_logs


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def fail() -> None:
    raise RuntimeError("password=hunter22")


def test_text_lines_are_single_and_name_the_process():
    output = io.StringIO()
    configure_logs("control", redact=redact, stream=output)
    logging.getLogger("aicp.test").info("first\nsecond %s", "Bearer abcdefghijkl", extra={"request_id": "req_1"})
    logging.getLogger("aicp.test").debug("not shown")
    lines = output.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(" INFO control aicp.test: first\\nsecond Bearer [redacted] request_id=req_1")


def test_json_lines_carry_extras_and_tracebacks_without_secrets():
    output = io.StringIO()
    configure_logs("gateway", format="json", level="debug", redact=redact, stream=output)
    try:
        fail()
    except RuntimeError:
        logging.getLogger("aicp.test").exception("it failed", extra={"status": 500, "address": "192.0.2.1"})
    entry = json.loads(output.getvalue())
    assert (entry["level"], entry["process"], entry["message"], entry["status"]) == (
        "error",
        "gateway",
        "it failed",
        500,
    )
    assert "RuntimeError" in entry["traceback"]
    assert "hunter22" not in output.getvalue()


def test_chatty_libraries_are_held_to_warnings():
    output = io.StringIO()
    configure_logs("control", stream=output)
    logging.getLogger("httpx").info("HTTP Request: GET ...")
    assert output.getvalue() == ""
