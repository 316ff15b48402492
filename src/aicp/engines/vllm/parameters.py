"""Which vLLM parameters each mode sets, and why; which ones a user may set."""

from __future__ import annotations

from typing import Any

from aicp.core.errors import InvalidError
from aicp.core.model import ModelType
from aicp.core.service import Choice
from aicp.engines.base import Flag, LaunchRequest, flag_choices
from aicp.engines.vllm.memory import KV_BLOCK_TOKENS, kv_cache_bytes, step_tokens
from aicp.engines.vllm.nodes import STAGES, division
from aicp.engines.vllm.parsers import OFF, REASONING_PARSERS, TOOL_PARSERS, parser_choices

FLAGS: dict[str, Flag] = {
    flag.name: flag
    for flag in (
        Flag(
            "max_num_batched_tokens", "int", "tokens computed in one step; smaller steps stream more evenly", 64, 65536
        ),
        Flag("max_num_seqs", "int", "requests computed at the same time", 1, 1024),
        Flag("enforce_eager", "bool", "no compiled graphs: starts faster, computes slower", default=False),
        Flag("enable_prefix_caching", "bool", "keep the cache of shared prompt beginnings", default=True),
        Flag("dtype", "str", "type of weights and computation", choices=("auto", "bfloat16", "float16", "float32")),
        Flag("block_size", "int", "tokens in one block of the KV cache", 16, 128),
        Flag("seed", "int", "seed of the random sampler", 0, 2**31 - 1),
        Flag("generation_config", "str", "sampling defaults: the model's own or vLLM's", choices=("auto", "vllm")),
        Flag(
            "tool_call_parser",
            "str",
            "how the model writes tool calls; turns tool calling on, `none` turns it off",
            choices=(OFF, *TOOL_PARSERS),
        ),
        Flag(STAGES, "int", "stages of layers over all devices of a replica; 1 cuts each layer instead", 1, 64),
        Flag("reasoning_parser", "str", "how the model marks its reasoning", choices=(OFF, *REASONING_PARSERS)),
    )
}


def choose(request: LaunchRequest) -> list[Choice]:
    """Every parameter of the launch with its reason; the user's flags replace the mode's choices of the same name.

    Raises InvalidError for a forbidden flag, or a context the model was not made for.
    """
    limit = request.version.context_length
    if limit is not None and request.sizing.context_length > limit:
        raise InvalidError(
            f"A context of {request.sizing.context_length} tokens was asked, and the model was made for {limit}.",
            hint=f"Ask for at most {limit}.",
        )
    parsers = parser_choices(request.version.architecture, request.model_type)
    chosen = {choice.name: choice for choice in [*_sizes(request), *_variant_choices(request), *parsers]}
    for choice in flag_choices(FLAGS, request.flags, request.mode):
        chosen[choice.name] = choice
    _check_step(chosen)
    return list(chosen.values())


def _check_step(chosen: dict[str, Choice]) -> None:
    """vLLM does not start when a step cannot hold one token of every request."""
    requests, step = chosen["max_num_seqs"].value, chosen["max_num_batched_tokens"].value
    if requests > step:
        raise InvalidError(
            f"max_num_seqs is {requests}, and a step has only max_num_batched_tokens = {step} tokens.",
            hint="Set max_num_batched_tokens to at least max_num_seqs.",
        )


def arguments(choices: list[Choice]) -> list[str]:
    """The choices as command-line arguments."""
    words: list[str] = []
    for choice in choices:
        off = choice.name in ("tool_call_parser", "reasoning_parser") and choice.value == OFF
        if choice.name in _ENVIRONMENT or off:
            continue
        words += _words(choice.name, choice.value)
    return words


def environment(choices: list[Choice]) -> dict[str, str]:
    """The choices that vLLM reads from variables."""
    return {_ENVIRONMENT[choice.name]: str(choice.value) for choice in choices if choice.name in _ENVIRONMENT}


_ENVIRONMENT = {"threads": "OMP_NUM_THREADS"}


def _words(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    extra = ["--enable-auto-tool-choice"] if name == "tool_call_parser" else []
    if value is True:
        return [option, *extra]
    if value is False:
        negative = (
            option.replace("--enable-", "--no-enable-") if option.startswith("--enable-") else f"--no-{option[2:]}"
        )
        return [negative]
    return [option, str(value), *extra]


def _chosen(name: str, value: Any, reason: str) -> Choice:
    return Choice(name=name, value=value, chosen_by="platform", reason=reason)


def _sizes(request: LaunchRequest) -> list[Choice]:
    sizing = request.sizing
    step, why = step_tokens(request.model_type, request.mode, sizing)
    asked = request.flags.get("max_num_batched_tokens", step)
    cache = kv_cache_bytes(request.version, request.model_type, sizing, asked if type(asked) is int else step)
    devices = sizing.nodes * (max(1, len(request.allocation.devices)) if request.variant != "cpu" else 1)
    return [
        _chosen("max_model_len", sizing.context_length, "the context that was asked for"),
        _chosen("max_num_seqs", sizing.users, "the number of simultaneous requests that was asked for"),
        _chosen("max_num_batched_tokens", step, why),
        _chosen(
            "kv_cache_memory_bytes",
            cache // devices,
            f"{sizing.users} requests of {sizing.context_length} tokens, in blocks of {KV_BLOCK_TOKENS}; "
            "a fixed size needs no trial run at start",
        ),
    ]


def _variant_choices(request: LaunchRequest) -> list[Choice]:
    runner = "generate" if request.model_type is ModelType.CHAT else "pooling"
    common = [_chosen("runner", runner, f"the model's type is {request.model_type}")]
    if request.variant != "cpu":
        apart = request.sizing.nodes > 1
        mp = [_chosen("distributed_executor_backend", "mp", "vLLM's own workers on each node")] if apart else []
        return [*common, *division(request), *mp]
    threads = max(1, int(request.allocation.cpu_cores))
    return [
        *common,
        _chosen("threads", threads, "one computing thread for each allocated core"),
        _chosen("enforce_eager", True, "starts in seconds; compiling costs over a minute and gains 1.4x per token"),
        *_on_processors(request),
    ]


def _on_processors(request: LaunchRequest) -> list[Choice]:
    if request.sizing.nodes > 1:
        mp = _chosen("distributed_executor_backend", "mp", "vLLM's own workers on each node")
        return [*division(request), mp]
    return [
        _chosen(
            "distributed_executor_backend",
            "uni",
            "computing inside the engine process saves one process: half a gigabyte and a third of the start",
        ),
    ]
