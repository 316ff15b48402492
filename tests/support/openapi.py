"""The REST contract, as tests walk it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "reference" / "openapi.json").read_text("utf-8")
)
_METHODS = {"get", "post", "put", "patch", "delete"}


@dataclass(frozen=True)
class Operation:
    """One operation; `fields` are those of the body, with those of nested requests in place of the nest."""

    id: str
    method: str
    path: str
    query: frozenset[str]
    fields: frozenset[str]


def operations() -> list[Operation]:
    """Every operation of the interface."""
    return [
        Operation(
            entry["operationId"],
            method.upper(),
            path,
            frozenset(p["name"] for p in entry.get("parameters", []) if p["in"] == "query"),
            frozenset(_body_fields(entry)),
        )
        for path, entries in _DOCUMENT["paths"].items()
        for method, entry in entries.items()
        if method in _METHODS
    ]


def _body_fields(entry: dict[str, Any]) -> Iterator[str]:
    for content in entry.get("requestBody", {}).get("content", {}).values():
        yield from _fields(content.get("schema", {}))


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    for one in [schema, *schema.get("anyOf", [])]:
        name = one.get("$ref", "").rsplit("/", 1)[-1]
        for field, inner in _DOCUMENT["components"]["schemas"].get(name, {}).get("properties", {}).items():
            nested = set(_fields(inner)) if field in ("spec", "compute", "autoscale") else set()
            yield from nested or {field}
