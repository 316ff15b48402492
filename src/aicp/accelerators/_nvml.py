"""Questions to NVML that a device, driver or user may leave without an answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import pynvml

T = TypeVar("T")


def ask(question: Callable[..., T], *arguments: Any) -> T | None:
    """None for whatever this device, driver or user may not answer, or answers in bytes that are not UTF-8."""
    with suppress(pynvml.NVMLError, UnicodeDecodeError):
        return question(*arguments)
    return None
