"""Streams of separately timed chunks: what the gateway takes for each, and how it changes their times."""

from __future__ import annotations

from typing import Any

from gateway.doors import Door
from gateway.programs import chat_body
from gateway.stage import Ground, by_door, compare

_PACE_US, _CHUNKS, _TURNS = 2000, 500, 3
_STREAMS, _MANY_STREAMS = 32, 60


def measure(ground: Ground) -> dict[str, Any]:
    """32 streams with a token every 2 ms; `at_30000`: 60 of them, which is 30,000 chunks a second.

    Streams do not begin together; chunks and gaps are counted while all of them are under way.
    """
    with ground.stage("ours", "sglang_router", direct=True) as (_, doors):
        usual = _measure(ground, doors, _STREAMS)
        return {**usual, "at_30000": _measure(ground, doors, _MANY_STREAMS)}


def _measure(ground: Ground, doors: list[Door], streams: int) -> dict[str, Any]:
    bodies = ground.programs.directory / "stream.jsonl"
    bodies.write_text(chat_body(f"Count slowly, please. chunks={_CHUNKS} pace={_PACE_US}", stream=True))
    results = ground.alternate(
        doors, lambda door: ground.programs.load("streams", door.port, door.key, streams, _TURNS, bodies)
    )
    ours, direct, router = results["ours"], results["direct"], results["sglang_router"]
    cpu = by_door(results, lambda one: one["cpu_seconds"] / one["all_chunks"] * 1e6)
    cpu.pop("direct")
    return {
        "cpu_us_per_chunk": cpu["ours"],
        "added_ttft_ms": compare(ours, direct, _ttft_ms, difference=True),
        "gap_p99_vs_direct": compare(ours, direct, _gap_ms),
        "sglang_router": {
            "added_ttft_ms": compare(router, direct, _ttft_ms, difference=True),
            "gap_p99_vs_direct": compare(router, direct, _gap_ms),
        },
        "chunks_per_second_of": by_door(results, lambda one: one["chunks"] / one["seconds"]),
        "cpu_us_per_chunk_of": cpu,
        "ttft_p50_ms_of": by_door(results, _ttft_ms),
        "gap_p99_ms_of": by_door(results, _gap_ms),
        "chunks_per_read_of": by_door(results, lambda one: one["chunks"] / one["reads"]),
        "load": {"streams": streams, "pace_ms": _PACE_US / 1000, "chunks_each": _CHUNKS, "turns": _TURNS},
    }


def _ttft_ms(one: Any) -> float:
    return one["ttft_us"]["p50"] / 1000


def _gap_ms(one: Any) -> float:
    return one["gap_us"]["p99"] / 1000
