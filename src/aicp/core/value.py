"""The base of every value that crosses a boundary: immutable, strict about unknown fields on input."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


class Value(BaseModel):
    """An immutable value that a newer peer may extend: unknown fields are ignored when read."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Request(BaseModel):
    """What a user sends: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def model_post_init(self, context: Any) -> None:
        # What tells the members of a union apart is always said, also where only the given fields are sent.
        if "kind" in type(self).model_fields:
            self.model_fields_set.add("kind")


class Page(Value, Generic[T]):
    """One page of a list; `total` counts all matching rows."""

    items: list[T]
    total: int
    offset: int = 0
    limit: int = 100
