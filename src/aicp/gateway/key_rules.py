"""What a key adds to its requests: parameters that they do not name, and the most output they may ask for."""

from __future__ import annotations

from typing import Final

import msgspec

from aicp.gateway.api_keys import Key
from aicp.gateway.bodies import Fields, encode
from aicp.gateway.endpoints import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Endpoint
from aicp.gateway.errors import invalid

_EVERYWHERE: Final = frozenset({"temperature", "top_p"})
"""What every generating schema has; the others are OpenAI's older two."""
_MOST: Final = {
    CHAT: ("max_tokens", "max_completion_tokens"),
    COMPLETIONS: ("max_tokens",),
    MESSAGES: ("max_tokens",),
    RESPONSES: ("max_output_tokens",),
}
"""What bounds an answer, by schema: the names of others mean nothing there. The first is what is set."""
_MOST_NAMES = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def apply_rules(key: Key, endpoint: Endpoint, fields: Fields) -> None:
    """Changes `fields` as the key says. Raises ApiError 400 when more output is asked for than it allows."""
    own = _MOST.get(endpoint)
    if own is None:
        return
    for name, value in key.defaults.items():
        if name in _EVERYWHERE or endpoint in (CHAT, COMPLETIONS):
            fields.setdefault(name, value)
    most = key.max_output_tokens
    if most is None:
        return
    given = [name for name in _MOST_NAMES if name in fields and bytes(fields[name]) != b"null"]
    for name in given:
        _check(fields[name], name, most)
    if not any(name in own for name in given):
        fields[own[0]] = msgspec.Raw(encode(most))


def _check(value: msgspec.Raw, name: str, most: int) -> None:
    try:
        wanted = msgspec.json.decode(value, type=int)
    except msgspec.DecodeError as error:
        raise invalid(f"The field {name!r} must be a whole number.", param=name, code="invalid_type") from error
    if wanted > most:
        raise invalid(
            f"This key may ask for at most {most} output tokens, not {wanted}.", param=name, code="invalid_value"
        )
