"""Whole answers: requests per second through one core, and the processor time of each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.doors import Door
from gateway.programs import chat_body
from gateway.stage import Ground, by_door, compare

_SECONDS = 3.0
_SMALL_CONNECTIONS, _LARGE_CONNECTIONS = 64, 16
_SHARED_CHARACTERS, _OWN_CHARACTERS, _BODIES = 12_000, 4_000, 256
_WORDS = ["alpha", "beta", "gamma", "delta", "the", "of", "and", "to", "in", "is", "router", "cache", "token", "prefix"]


def small(ground: Ground) -> dict[str, Any]:
    """One short question, again and again, on 64 connections."""
    bodies = ground.programs.directory / "small.jsonl"
    bodies.write_text(chat_body("Say this is a test, please."))
    return _measure(ground, bodies, _SMALL_CONNECTIONS, ["ours", "sglang_router", "litellm"])


def body16k(ground: Ground) -> dict[str, Any]:
    """256 bodies of 16 KB that share their first 12, on 16 connections."""
    chance = random.Random(7)
    shared = _text(chance, _SHARED_CHARACTERS)
    lines = [chat_body(_text(chance, _OWN_CHARACTERS), shared) for _ in range(_BODIES)]
    bodies = ground.programs.directory / "body16k.jsonl"
    bodies.write_text("".join(lines))
    return _measure(ground, bodies, _LARGE_CONNECTIONS, ["ours", "sglang_router"])


def _measure(ground: Ground, bodies: Path, connections: int, names: Sequence[str]) -> dict[str, Any]:
    def burst(door: Door) -> dict[str, Any]:
        return ground.programs.load("plain", door.port, door.key, connections, _SECONDS, bodies)

    with ground.stage(*names, direct=True) as (_, doors):
        results = ground.alternate(doors, burst)
    lines = bodies.read_bytes().splitlines()
    cpu = by_door(results, lambda one: one["cpu_seconds"] / one["requests"] * 1e6)
    kernel = by_door(results, lambda one: one["kernel_seconds"] / one["requests"] * 1e6)
    cpu.pop("direct")
    kernel.pop("direct")
    return {
        **{f"rps_vs_{name}": compare(results["ours"], results[name], _rate) for name in names if name != "ours"},
        "cpu_us_per_request": cpu["ours"],
        "rps_of": by_door(results, _rate),
        "cpu_us_per_request_of": cpu,
        "kernel_us_per_request_of": kernel,
        "p50_ms_of": by_door(results, lambda one: one["latency_us"]["p50"] / 1000),
        "load": {"connections": connections, "seconds": _SECONDS, "body_bytes": sum(map(len, lines)) // len(lines)},
    }


def _rate(one: Any) -> float:
    return one["requests"] / one["seconds"]


def _text(chance: random.Random, characters: int) -> str:
    words: list[str] = []
    while characters > 0:
        words.append(chance.choice(_WORDS))
        characters -= len(words[-1]) + 1
    return " ".join(words)
