"""What a caller did wrong, and what cannot be served at all."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A request that is answered with an error in OpenAI's form. `retry_after` says in how many seconds it may work."""

    def __init__(self, status: int, message: str, param: str | None = None, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The answer's body."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": None}}


class ModelError(Exception):
    """A model that this server cannot load; its message says why and what would help."""
