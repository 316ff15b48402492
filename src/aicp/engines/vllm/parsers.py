"""How a model writes tool calls and reasoning: the parser of vLLM that reads it, by architecture and chat template."""

from __future__ import annotations

from dataclasses import dataclass

from aicp.core.model import Architecture, ModelType
from aicp.core.service import Choice

OFF = "none"
"""The value that turns a parser off."""

TOOL_PARSERS = (
    "apertus", "deepseek_v3", "deepseek_v31", "deepseek_v32", "ernie45", "gemma4", "glm45", "granite", "granite4",
    "hermes", "hunyuan_a13b", "internlm", "jamba", "kimi_k2", "lfm2", "llama3_json", "llama4_json", "mimo",
    "minimax_m2", "mistral", "olmo3", "openai", "phi4_mini_json", "pythonic", "qwen3_coder", "qwen3_json", "qwen3_xml",
    "seed_oss", "step3", "xlam",
)  # fmt: skip
REASONING_PARSERS = (
    "deepseek_r1", "deepseek_v3", "ernie45", "gemma4", "glm45", "granite", "hunyuan_a13b", "kimi_k2", "mimo",
    "minimax_m2", "mistral", "olmo3", "openai_gptoss", "qwen3", "seed_oss", "step3",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Rule:
    """A parser for models whose class begins with one of `families` and whose template has all `marks`."""

    parser: str
    families: tuple[str, ...]
    marks: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    vocabulary: int | None = None

    def holds(self, architecture: Architecture) -> bool:
        marks = set(architecture.template_marks)
        return (
            architecture.name.startswith(self.families)
            and marks.issuperset(self.marks)
            and marks.isdisjoint(self.without)
            and self.vocabulary in (None, architecture.vocab_size)
        )


_DEEPSEEK_CALLS = "<｜tool▁calls▁begin｜>"
_LLAMA3_VOCABULARY = 128_256  # the tokenizer whose <|python_tag|> the parser needs
# The first that holds. A fine-tuned model keeps its class and changes its template, so the template decides first.
_TOOLS = (
    _Rule("openai", ("GptOss",)),
    _Rule("seed_oss", ("SeedOss",), ("<seed:tool_call>",)),
    _Rule("minimax_m2", ("MiniMaxM2",), ("<minimax:tool_call>",)),
    _Rule("kimi_k2", ("DeepseekV3", "Kimi"), ("<|tool_calls_section_begin|>",)),
    _Rule("deepseek_v3", ("DeepseekV3",), (_DEEPSEEK_CALLS, "```json")),
    _Rule("deepseek_v31", ("DeepseekV3",), (_DEEPSEEK_CALLS,)),
    _Rule("glm45", ("Glm4Moe",), ("<arg_key>",)),
    _Rule("qwen3_coder", ("Qwen3",), ("<tool_call>", "<function=")),
    _Rule("granite4", ("GraniteMoeHybrid",), ("<tool_call>",)),
    _Rule("mimo", ("MiMo",), ("<tool_call>",)),
    _Rule("hermes", ("Qwen2", "Qwen3", "Llama", "Mistral", "SmolLM3"), ("<tool_call>", "tools"), ("<function=",)),
    _Rule("mistral", ("Mistral", "Ministral", "Mixtral"), ("[TOOL_CALLS]",)),
    _Rule("granite", ("Granite",), ("<|tool_call|>",)),
    _Rule("phi4_mini_json", ("Phi3",), ("<|tool_call|>",)),
    _Rule("gemma4", ("Gemma4",), ("<|tool_call>",)),
    _Rule("llama3_json", ("LlamaFor",), ("tools",), (_DEEPSEEK_CALLS,), _LLAMA3_VOCABULARY),
)
_REASONING = (
    _Rule("openai_gptoss", ("GptOss",)),
    _Rule("seed_oss", ("SeedOss",)),
    _Rule("minimax_m2", ("MiniMaxM2",), ("<think>",)),
    _Rule("glm45", ("Glm4Moe",), ("<think>",)),
    _Rule("deepseek_r1", ("DeepseekV3", "Qwen", "Llama"), ("<｜Assistant｜><think>",), ("enable_thinking",)),
    _Rule("qwen3", ("Qwen3",), ("<think>", "enable_thinking")),
    _Rule("qwen3", ("Qwen3",), ("opens <think>",)),
)


def parser_choices(architecture: Architecture, model_type: ModelType) -> list[Choice]:
    """The parsers that fit the model, each with its reason; none where that cannot be told."""
    if model_type is not ModelType.CHAT:
        return []
    found: list[Choice] = []
    kinds = (("tool_call_parser", _TOOLS, "tool calls"), ("reasoning_parser", _REASONING, "reasoning"))
    for name, rules, what in kinds:
        rule = next((rule for rule in rules if rule.holds(architecture)), None)
        if rule is not None:
            by = f" with {' and '.join(rule.marks)} in its chat template" if rule.marks else ""
            reason = f"the way {architecture.name}{by} writes {what}; mode custom can set another or {OFF}"
            found.append(Choice(name=name, value=rule.parser, chosen_by="platform", reason=reason))
    return found
