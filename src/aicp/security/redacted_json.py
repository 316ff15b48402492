"""Redaction within JSON: what counts is what a string says, not how it is written.

`\\n` before a key would join it to a word, and `\\u0073k-...` would hide it. So each string is read, redacted and
written again where that changed it; all else stays as it came. The text may be cut anywhere.
"""

from __future__ import annotations

import json
import re

from aicp.security.redactors import Redactor, is_secret, mask

_LITERAL = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)("|\\?\Z)', re.DOTALL)
_CUT_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
_VALUE_FOLLOWS = re.compile(r"\s*+:\s*+")
_LIST_FOLLOWS = re.compile(r"\s*+:\s*+\[[^\]{:]*+")
_IN_LIST = re.compile(r"[^\]{:]*+")
_NUMBER_FOLLOWS = re.compile(r"(\s*+:\s*+)[-+0-9.eE]++")
_MASK = re.compile(r"\[redacted:[a-z]+\]")
_LEAST = 8
"""What is shorter and stands between strings holds nothing."""
_DEPTH = 3
"""Texts that are JSON themselves, such as a tool's arguments, are looked into so often."""
_SECRET = f'"{mask("secret")}"'
_decode = json.JSONDecoder(strict=False).decode


def redact_json(text: str, redactor: Redactor, depth: int = 0) -> str:
    """`text` redacted; it may hold several values, and none of them whole."""
    made: list[str] = []
    known: dict[str, str] = {}
    place, name, above = 0, "", ""
    for match in _LITERAL.finditer(text):
        between, place = text[place : match.start()], match.end()
        made.append(_outside(between, name, redactor))
        said = _said(match)
        names = bool(name) and _VALUE_FOLLOWS.fullmatch(between) is not None
        if names or not above or not _IN_LIST.fullmatch(between):
            above = name if _LIST_FOLLOWS.fullmatch(between) else ""
        owner = name if names else above
        if owner and is_secret(owner, said):
            made.append(_SECRET)
        else:
            literal = match[0]
            if literal not in known:
                known[literal] = _shown(literal, said, redactor, depth)
            made.append(known[literal])
        name = said
    made.append(_outside(text[place:], name, redactor))
    return "".join(made)


def _shown(literal: str, said: str, redactor: Redactor, depth: int) -> str:
    nested = said.lstrip()[:1] in ("{", "[") and depth < _DEPTH
    clean = redactor.text(redact_json(said, redactor, depth + 1) if nested else said)
    return literal if clean == said else json.dumps(clean, ensure_ascii=False)


def _said(match: re.Match[str]) -> str:
    """What a string says; one that breaks off, as far as it goes; one that cannot be read, as it is written."""
    written = match[1] if match[2] == '"' else _CUT_ESCAPE.sub("", match[1])
    if "\\" not in written:
        return written
    try:
        return str(_decode(f'"{written}"'))
    except ValueError:
        return written


def _outside(text: str, name: str, redactor: Redactor) -> str:
    """What stands between strings. What is taken out of it leaves a string, so that it stays JSON."""
    if name and is_secret(name, "") and _NUMBER_FOLLOWS.match(text):
        text = _NUMBER_FOLLOWS.sub(lambda match: match[1] + _SECRET, text, count=1)
    if len(text) < _LEAST:
        return text
    return _MASK.sub(lambda match: f'"{match[0]}"', redactor.text(text)) if _SECRET not in text else text
