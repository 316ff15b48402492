"""429 for now: this process has too little of a limit in its hands, and others may give some of theirs back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aicp.gateway.errors import ApiError

SHORTAGE_SECONDS: Final = 0.25
"""For units that others hold."""


class Shortage(ApiError):
    """It is the answer when waiting does not help. `wait` ends when it is worth trying again."""

    def __init__(self, answer: ApiError, wait: Callable[[], Awaitable[None]]) -> None:
        super().__init__(answer.status, answer.message, code=answer.code, retry_after=answer.retry_after)
        self.wait = wait
        self.seconds = SHORTAGE_SECONDS
        """A request waits at most so long."""
        self.go_on: Callable[[], Any] | None = None
        """Tries again and begins the exchange."""
