"""Why an engine ended, for people."""

from __future__ import annotations

import pytest

from aicp.agent.endings import explain_ending

LOG = "INFO loading\nTraceback (most recent call last):\nValueError: no such dtype\nINFO bye\n\n"


@pytest.mark.parametrize(
    ("code", "log", "expected"),
    [
        (1, LOG, "The engine ended with exit code 1. Its last words: ValueError: no such dtype"),
        (0, "", "The engine ended by itself without an error."),
        (-9, "a\nb\n", "The engine was ended by SIGKILL. Its last words: a / b"),
        (-77, "", "The engine was ended by signal 77."),
        (None, "", "The engine ended (its exit code went to an earlier agent)."),
    ],
)
def test_ending(code: int | None, log: str, expected: str) -> None:
    assert explain_ending(code, log) == expected


def test_want_of_memory_comes_first() -> None:
    text = explain_ending(-9, LOG, memory_kills=1, memory_limit_bytes=2 * 1024**3)
    assert text == "The engine needed more host memory than its limit of 2 GiB and was ended by the kernel."


def test_words_of_earlier_starts_are_left_out() -> None:
    log = (
        "aicp: starting vllm 0.32.0; no limits\nValueError: first\n"
        "aicp: The engine ended with exit code 1. Its last words: ValueError: first Next start in 1 s.\n"
        "aicp: starting vllm 0.32.0; no limits\nOSError: second\n"
    )
    assert explain_ending(1, log) == "The engine ended with exit code 1. Its last words: OSError: second"


def test_last_words_are_short() -> None:
    assert len(explain_ending(1, "error " * 1000)) < 700


def test_the_cause_comes_before_what_it_led_to() -> None:
    log = (
        "WARNING limits can cause errors like `OSError: [Errno 24] Too many open files`.\n"
        "(EngineCore pid=7) ERROR 11-25 23:04:48 [core.py:1510] RuntimeError: size 512 must match size 256\n"
        "RuntimeError: size 512 must match size 256\n    raise RuntimeError(\nRuntimeError: See root cause above.\n"
    )
    cause = "RuntimeError: size 512 must match size 256 / RuntimeError: See root cause above."
    assert explain_ending(1, log) == f"The engine ended with exit code 1. Its last words: {cause}"
