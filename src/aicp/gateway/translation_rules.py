"""What a translation does with the fields of a public schema: none is left out in silence.

A field is translated, passed on as it is, left out because that changes nothing, or refused by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aicp.gateway.bodies import Fields
from aicp.gateway.errors import invalid, not_supported


@dataclass(frozen=True, slots=True)
class Rule:
    """For one field. `why` completes "The field 'x' ..."; `values` are those that ask for nothing that is missing."""

    passes: bool = False
    refused: bool = False
    why: str = ""
    values: tuple[Any, ...] = ()


TRANSLATED = Rule()
PASSED = Rule(passes=True)


def harmless(why: str) -> Rule:
    """Left out without any change of what the caller gets, because of `why`."""
    return Rule(why=why)


def refused(why: str, *values: Any) -> Rule:
    """Not to be had by way of chat completions. Empty values, and `values`, ask for nothing and may be there."""
    return Rule(refused=True, why=why, values=values)


_ELSEWHERE = "belongs to chat completions, whose answer to it has no place in this schema"
CHAT_ONLY: Mapping[str, Rule] = {
    "n": refused(_ELSEWHERE, 1),
    "best_of": refused(_ELSEWHERE, 1),
    "logprobs": refused(_ELSEWHERE),
    "top_logprobs": refused(_ELSEWHERE),
    "prompt_logprobs": refused(_ELSEWHERE),
    "functions": refused(_ELSEWHERE),
    "function_call": refused(_ELSEWHERE),
    "modalities": refused(_ELSEWHERE, ["text"]),
    "audio": refused(_ELSEWHERE),
    "web_search_options": refused(_ELSEWHERE),
}
"""Fields of neither schema that a chat engine would act upon. All other unknown ones are the engine's to judge."""


def passed_on(fields: Fields, given: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """The fields that the engine gets as they came. Raises ApiError 400 for one that nobody would honor."""
    body: dict[str, Any] = {}
    for name, raw in fields.items():
        rule = rules.get(name) or CHAT_ONLY.get(name, PASSED)
        if rule.refused and given[name] and given[name] not in rule.values:
            raise not_supported(f"The field {name!r} {rule.why}.", param=name)
        if rule.passes:
            body[name] = raw
    return body


ANY: tuple[Any, ...] = ()
"""Of a part: every value is honored."""


def check_parts(name: str, parts: Mapping[str, Any], honored: Mapping[str, tuple[Any, ...]]) -> None:
    """The same within one field: `honored` are its parts and their values. Raises ApiError 400."""
    for part, value in parts.items():
        if not value:
            continue
        values = honored.get(part)
        if values is None or (values and value not in values):
            shown = f" with the value {value!r}" if values and isinstance(value, str) and len(value) < 40 else ""
            raise not_supported(f"The field '{name}.{part}'{shown} cannot be given to this engine.", param=name)


def object_field(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A field that is an object, null or absent. Raises ApiError 400."""
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"The field {name!r} must be an object.", param=name, code="invalid_type")
    return value
