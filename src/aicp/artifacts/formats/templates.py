"""What a chat template tells of the model's way to write tool calls and reasoning."""

from __future__ import annotations

import json
import re
from typing import Any

# Words that occur in the templates of some families only. They are noted, the template itself is not kept.
_MARKS = (
    "<tool_call>", "<function=", "<arg_key>", "[TOOL_CALLS]", "<|tool_call|>", "<|tool_call>", "<|python_tag|>",
    "<｜tool▁calls▁begin｜>", "<|tool_calls_section_begin|>", "<seed:tool_call>", "<minimax:tool_call>", "```json",
    "<|channel|>", "<think>", "enable_thinking", "<｜Assistant｜><think>",
)  # fmt: skip
_TAKES_TOOLS = re.compile(r"\btools\b")
_OPENS_THINKING = re.compile(r"assistant(\\n|\n)<think>")


def template_marks(template: str) -> list[str]:
    """The known marks in a template; `tools` where it shows tools to the model, `opens <think>` where it begins every
    answer with reasoning."""
    found = [mark for mark in _MARKS if mark in template]
    if _TAKES_TOOLS.search(template):
        found.append("tools")
    if _OPENS_THINKING.search(template):
        found.append("opens <think>")
    return found


def template_of(content: bytes | None, *, whole_file: bool) -> str:
    """The template in a tokenizer_config.json or chat_template.json, or of a file that is nothing else; else nothing.

    A list of named templates is taken as one text.
    """
    if content is None:
        return ""
    text = content.decode(errors="replace")
    if whole_file:
        return text
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    found = value.get("chat_template") if isinstance(value, dict) else None
    parts = found if isinstance(found, list) else [found]
    texts = [part.get("template") if isinstance(part, dict) else part for part in parts]
    return "\n".join(part for part in texts if isinstance(part, str))
