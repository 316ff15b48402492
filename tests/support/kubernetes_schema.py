"""Whether an object is what a Kubernetes API server of version 1.37 takes: no unknown field, no wrong type.

The schema of Kubernetes' own kinds is that of the official client 37.0, whose models are generated from the OpenAPI
document that Kubernetes publishes for release 1.37. That of LeaderWorkerSet is in tests/fixtures/kubernetes, taken from
the custom resource definition that its project publishes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kubernetes import client
from pydantic import ValidationError

_FILE = Path(__file__).parents[1] / "fixtures" / "kubernetes" / "leaderworkerset.json"
LEADER_WORKER_SET: Mapping[str, Any] = json.loads(_FILE.read_text("utf-8"))["schema"]
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "object": dict,
    "array": list,
    "boolean": bool,
}
_OF_LIST = re.compile(r"List\[(.+)\]")
_OF_DICT = re.compile(r"Dict\[str, (.+)\]")


def complaints(kind: str, found: Any) -> list[str]:
    """What the API server would say of `found` as an object of `kind` (the client's name, or `LeaderWorkerSet`)."""
    if kind == "LeaderWorkerSet":
        return list(_by_schema(found, LEADER_WORKER_SET, ""))
    unknown = list(_unknown(kind, found, ""))
    return unknown or list(_wrong(kind, found))


def _unknown(kind: str, found: Any, where: str) -> Iterator[str]:
    """Fields that the model does not have: the client takes Python's names too, a server does not."""
    if match := _OF_LIST.fullmatch(kind):
        for index, item in enumerate(found if isinstance(found, list) else []):
            yield from _unknown(match.group(1), item, f"{where}[{index}]")
    elif match := _OF_DICT.fullmatch(kind):
        for name, item in (found if isinstance(found, dict) else {}).items():
            yield from _unknown(match.group(1), item, f"{where}.{name}")
    elif kind.startswith("V1") and isinstance(found, dict):
        model = getattr(client, kind)
        fields = {wire: model.openapi_types[name] for name, wire in model.attribute_map.items()}
        for name, item in found.items():
            if name not in fields:
                yield f'unknown field "{where}.{name}"'.replace('"."', '"').replace('".', '"')
            else:
                yield from _unknown(fields[name], item, f"{where}.{name}")


def _wrong(kind: str, found: Any) -> Iterator[str]:
    try:
        getattr(client, kind).model_validate(found)
    except ValidationError as error:
        for item in error.errors():
            yield f"{'.'.join(map(str, item['loc']))}: {item['msg']}"


def _by_schema(found: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    if "model" in schema:
        yield from (f"{where}: {text}" for text in complaints(schema["model"], found))
        return
    wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(found, _TYPES[name]) and not (name == "integer" and found is True) for name in wanted):
        yield f"{where or 'object'}: must be of type {' or '.join(wanted)}"
        return
    if "enum" in schema and found not in schema["enum"]:
        yield f"{where}: {found!r} is none of {', '.join(schema['enum'])}"
    if isinstance(found, list):
        for index, item in enumerate(found):
            yield from _by_schema(item, schema["items"], f"{where}[{index}]")
    if isinstance(found, dict):
        properties = schema.get("properties", {})
        yield from (f'unknown field "{where}.{name}"' for name in found if name not in properties)
        yield from (f"{where}.{name}: required" for name in schema.get("required", []) if name not in found)
        for name, item in found.items():
            if name in properties:
                yield from _by_schema(item, properties[name], f"{where}.{name}".lstrip("."))
