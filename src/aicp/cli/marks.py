"""How labels and taints of nodes and pools are written on a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from aicp.core.errors import InvalidError
from aicp.core.node import NodeUpdate, Taint, TaintEffect

LABEL_HELP = "KEY=VALUE, repeat for several. KEY= takes one away."


def changed_labels(present: Mapping[str, str], given: Sequence[str]) -> dict[str, str]:
    """`present` with what `given` (`KEY=VALUE`, `KEY=`) sets or takes away. Raises InvalidError."""
    labels = dict(present)
    for text in given:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise InvalidError(f"{text!r} is no label.", hint="Write KEY=VALUE, or KEY= to take it away.")
        if value:
            labels[key] = value
        else:
            labels.pop(key, None)
    try:
        return NodeUpdate(labels=labels).labels or {}
    except ValidationError as error:
        raise InvalidError(
            "A label has characters that it may not have.", hint="Letters, digits, and . _ - between them; keys also /."
        ) from error


def changed_taints(present: Sequence[Taint], given: Sequence[str], removed: Sequence[str]) -> list[Taint]:
    """`present` without the keys `removed` and with `given` (`KEY[=VALUE][:EFFECT]`). Raises InvalidError."""
    taints = {taint.key: taint for taint in present if taint.key not in removed}
    for text in given:
        words, _, effect = text.partition(":")
        key, _, value = words.partition("=")
        try:
            taints[key] = Taint(key=key, value=value, effect=TaintEffect(effect or TaintEffect.NO_SCHEDULE))
        except ValueError as error:
            effects = ", ".join(TaintEffect)
            raise InvalidError(
                f"{text!r} is no taint.", hint=f"Write KEY, KEY=VALUE or KEY=VALUE:EFFECT; effects are {effects}."
            ) from error
    return list(taints.values())


def labels_text(labels: Mapping[str, str]) -> str:
    """All of them in one line."""
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def taint_text(taint: Taint) -> str:
    """As it is written on a command line."""
    return f"{taint.key}{'=' + taint.value if taint.value else ''}:{taint.effect}"
