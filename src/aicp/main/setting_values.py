"""How the text of a setting becomes its value; each raises ValueError that says what may be written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from aicp.core.port_range import port_ranges
from aicp.core.registry import Registry

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def plain(text: str) -> str:
    """As it is."""
    return text


def optional(text: str) -> str | None:
    """None for an empty one."""
    return text or None


def path(text: str) -> Path:
    """Absolute, with `~` filled in."""
    return Path(os.path.abspath(os.path.expanduser(text)))


def optional_path(text: str) -> Path | None:
    """None for an empty one."""
    return path(text) if text else None


def port(text: str) -> int:
    """A TCP port."""
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return number


def count(text: str) -> int:
    """1 to 10000."""
    number = int(text)
    if not 1 <= number <= 10_000:
        raise ValueError("write a number from 1 to 10000")
    return number


def patience(text: str) -> int:
    """300 seconds to a day."""
    number = int(text)
    if not 300 <= number <= 86_400:
        raise ValueError("write a number from 300 to 86400")
    return number


def processes(text: str) -> int:
    """1 to 64."""
    number = int(text)
    if not 1 <= number <= 64:
        raise ValueError("write a number from 1 to 64")
    return number


def ports(text: str) -> tuple[str, ...]:
    """Ports and ranges of them, comma-separated."""
    port_ranges(names(text))
    return names(text)


def boolean(text: str) -> bool:
    """true or false, yes or no, ..."""
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError("write true or false")


def paths(text: str) -> tuple[Path, ...]:
    """Paths, comma-separated."""
    return tuple(path(name) for name in names(text))


def names(text: str) -> tuple[str, ...]:
    """Words, comma-separated."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def currency(text: str) -> str:
    """Three capital letters."""
    if not re.fullmatch("[A-Z]{3}", text):
        raise ValueError("write three capital letters, such as USD")
    return text


def coordinator(text: str) -> str:
    """An address of a coordinator of limits, or nothing."""
    if text and not re.match(r"(rediss?|valkeys?)://.|(file|unix):.", text):
        raise ValueError("write an address such as redis://:password@host:6379 or file:/folder")
    return text


def one_of(*words: str) -> Callable[[str], str]:
    """One of `words`."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"write {', '.join(words[:-1])} or {words[-1]}")
        return text.lower()

    return parse


def driver(family: str) -> Callable[[str], str]:
    """The name of a driver of `family`, such as `aicp.runners`; the driver itself is not loaded."""

    def parse(text: str) -> str:
        known = Registry[object](family).names()
        if text not in known:
            raise ValueError(f"write one of {', '.join(known)}")
        return text

    return parse
