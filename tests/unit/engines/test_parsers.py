"""Which parser of vLLM reads the tool calls and the reasoning of which model."""

from __future__ import annotations

import pytest
from tests.support.engines import make_request, make_version

from aicp.artifacts.formats.templates import template_marks, template_of
from aicp.core.model import Architecture, ModelType
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, LaunchRequest

ENGINE = Registry[Engine]("aicp.engines").get("vllm")

# The lines of the published chat templates that show how a tool call is written.
CHATML = '{%- if tools %}<tools></tools>{% endif %}<tool_call>\n{"name": <function-name>}\n</tool_call>'
QWEN3 = CHATML + "{%- if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>{% endif %}"
QWEN3_THINKING = CHATML + "{{- '<|im_start|>assistant\\n<think>\\n' }}"
QWEN3_CODER = "{%- if tools %}{% endif %}<tool_call>\n<function=example>\n</function></tool_call>"
LLAMA31 = "{%- if tools is not none %}{{ '\"parameters\": dictionary of argument name' }}<|python_tag|>{% endif %}"
MISTRAL = "[AVAILABLE_TOOLS]{{ tools }}[TOOL_CALLS]"
DEEPSEEK_V3 = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>name\n```json\n"
DEEPSEEK_V31 = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>name<｜tool▁sep｜>"
DEEPSEEK_R1 = DEEPSEEK_V3 + "{{'<｜Assistant｜><think>\\n'}}"
GLM45 = "{% if tools %}{% endif %}<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key></tool_call><think></think>"
KIMI = "{% if tools %}<|tool_calls_section_begin|>{% endif %}"
PLAIN = "{% for message in messages %}{{ '<|im_start|>' + message['content'] }}{% endfor %}"


def request_of(name: str, template: str, vocabulary: int = 1000, **more: object) -> LaunchRequest:
    shape = Architecture(
        name=name, layers=2, kv_heads=2, head_dim=64, vocab_size=vocabulary, template_marks=template_marks(template)
    )
    return make_request(make_version(architecture=shape), **more)


def parsers(request: LaunchRequest) -> tuple[object, object]:
    chosen = {choice.name: choice.value for choice in ENGINE.settings(request)}
    return chosen.get("tool_call_parser"), chosen.get("reasoning_parser")


@pytest.mark.parametrize(
    ("name", "template", "vocabulary", "tools", "reasoning"),
    [
        ("Qwen2ForCausalLM", CHATML, 151_936, "hermes", None),
        ("Qwen3ForCausalLM", QWEN3, 151_936, "hermes", "qwen3"),
        ("Qwen3MoeForCausalLM", CHATML, 151_936, "hermes", None),
        ("Qwen3MoeForCausalLM", QWEN3_THINKING, 151_936, "hermes", "qwen3"),
        ("Qwen3MoeForCausalLM", QWEN3_CODER, 151_936, "qwen3_coder", None),
        ("LlamaForCausalLM", LLAMA31, 128_256, "llama3_json", None),
        ("LlamaForCausalLM", CHATML, 128_288, "hermes", None),
        ("LlamaForCausalLM", LLAMA31, 32_000, None, None),
        ("LlamaForCausalLM", PLAIN, 2048, None, None),
        ("LlamaForCausalLM", DEEPSEEK_R1, 128_256, None, "deepseek_r1"),
        ("MistralForCausalLM", MISTRAL, 32_768, "mistral", None),
        ("MistralForCausalLM", CHATML, 32_032, "hermes", None),
        ("DeepseekV3ForCausalLM", DEEPSEEK_V3, 129_280, "deepseek_v3", None),
        ("DeepseekV3ForCausalLM", DEEPSEEK_V31, 129_280, "deepseek_v31", None),
        ("DeepseekV3ForCausalLM", DEEPSEEK_R1, 129_280, "deepseek_v3", "deepseek_r1"),
        ("DeepseekV3ForCausalLM", KIMI, 163_840, "kimi_k2", None),
        ("GptOssForCausalLM", "", 201_088, "openai", "openai_gptoss"),
        ("Glm4MoeForCausalLM", GLM45, 151_552, "glm45", "glm45"),
        ("GPT2LMHeadModel", "", 50_257, None, None),
    ],
)
def test_architecture_and_template_decide(
    name: str, template: str, vocabulary: int, tools: str | None, reasoning: str | None
) -> None:
    assert parsers(request_of(name, template, vocabulary)) == (tools, reasoning)


def test_the_choice_has_its_reason_and_becomes_words() -> None:
    request = request_of("Qwen3ForCausalLM", QWEN3)
    choice = next(choice for choice in ENGINE.settings(request) if choice.name == "tool_call_parser")
    assert choice.chosen_by == "platform"
    assert choice.reason.startswith("the way Qwen3ForCausalLM with <tool_call> and tools in its chat template writes")
    command = ENGINE.launch(request).command
    assert command[command.index("--tool-call-parser") + 1] == "hermes"
    assert command[command.index("--reasoning-parser") + 1] == "qwen3"
    assert "--enable-auto-tool-choice" in command


def test_mode_custom_sets_another_or_none() -> None:
    flags = {"tool_call_parser": "qwen3_xml", "reasoning_parser": "none"}
    request = request_of("Qwen3ForCausalLM", QWEN3, mode=Mode.CUSTOM, flags=flags)
    assert parsers(request) == ("qwen3_xml", "none")
    assert "--reasoning-parser" not in ENGINE.launch(request).command
    off = request_of("Qwen3ForCausalLM", QWEN3, mode=Mode.CUSTOM, flags={"tool_call_parser": "none"})
    assert not {"--tool-call-parser", "--enable-auto-tool-choice"} & set(ENGINE.launch(off).command)


def test_a_model_that_does_not_chat_has_none() -> None:
    assert parsers(request_of("Qwen3ForCausalLM", QWEN3, model_type=ModelType.EMBEDDING)) == (None, None)


@pytest.mark.parametrize(
    ("content", "whole", "text"),
    [
        (b'{"chat_template": "a"}', False, "a"),
        (b'{"chat_template": [{"name": "default", "template": "a"}, {"template": "b"}]}', False, "a\nb"),
        (b'{"chat_template": 7}', False, ""),
        (b"[]", False, ""),
        (b"{", False, ""),
        (b"{{ messages }}", True, "{{ messages }}"),
        (None, True, ""),
    ],
)  # fmt: skip
def test_the_template_is_found_where_it_is_kept(content: bytes | None, whole: bool, text: str) -> None:
    assert template_of(content, whole_file=whole) == text
