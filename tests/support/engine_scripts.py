"""What engines in tests of translation do besides answering normally."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.openai_engine import USAGE, Script, Wire

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ARGUMENTS = '{"city": "Taipei"}'


def calls_a_tool(finish: str = "tool_calls") -> Script:
    """An engine that says something and calls `weather`, in pieces when streamed."""

    async def script(wire: Wire, asked: Any) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
        base = {"id": "c", "object": "chat.completion", "created": 1, "model": "inner"}
        if not asked.json().get("stream"):
            message = {"role": "assistant", "content": "Let me look.", "tool_calls": [call]}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return await wire.json({**base, "choices": [choice], "usage": USAGE})
        await wire.start()
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
        deltas: list[dict[str, Any]] = [
            {"role": "assistant", "content": ""},
            {"content": "Let me"},
            {"content": " look."},
        ]
        deltas += [{"tool_calls": [first]}]
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in ('{"city"', ': "Tai', 'pei"}')
        ]
        for delta in deltas:
            await wire.event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        await wire.event({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        await wire.event({**base, "choices": [], "usage": USAGE})
        await wire.event("[DONE]")
        await wire.end()

    return script


async def dies_midway(wire: Wire, asked: Any) -> None:
    await wire.start()
    await wire.event({"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]})
    await asyncio.sleep(0.05)
    await wire.cut()
