"""What an engine driver is: it describes how to start a serving program and what that needs. It starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from aicp.core.accelerator import Accelerator
from aicp.core.errors import InvalidError
from aicp.core.launch import Allocation, LaunchSpec
from aicp.core.model import Architecture, ModelFormat, ModelType, ModelVersion
from aicp.core.service import Choice, Fit, MemoryPart, Mode


@dataclass(frozen=True, slots=True)
class Flag:
    """A parameter a user may set in mode custom. `type` is bool, int, float or str; bounds are inclusive.

    `default` is what the engine does when it is not set, where that is known.
    """

    name: str
    type: str
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    default: bool | None = None


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a replica should do: how much context for how many simultaneous requests, on what."""

    context_length: int
    users: int
    cpu_cores: float
    vendor: str = "cpu"
    nodes: int = 1
    """On how many nodes: memory is then that of one member."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the driver takes when the user asks nothing; every value with its reason."""

    context_length: int
    users: int
    cpu_cores: float
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """Everything a driver needs to describe one replica. `served_name` is the name the engine answers to.

    Of a replica that spans nodes (`sizing.nodes`) it describes the member of that `rank`; 0 leads and answers callers.
    """

    version: ModelVersion
    model_type: ModelType
    allocation: Allocation
    mode: Mode
    sizing: Sizing
    served_name: str
    engine_version: str
    variant: str = "cpu"
    flags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rank: int = 0


class Engine(Protocol):
    """The required part of a driver. All methods are pure: same arguments, same answer, no input or output."""

    name: str
    title: str
    """How people call it: vLLM, llama.cpp."""
    versions: Sequence[str]
    """Versions with a lock, newest first."""
    formats: frozenset[ModelFormat]
    internal: bool
    """True keeps the engine out of every automatic choice and out of the publish page."""
    environment: bool
    """Whether the engine runs in an isolated environment of its own."""
    flags: Mapping[str, Flag]
    refused_fields: Sequence[str]
    """Top-level request fields that would steer the engine; the gateway refuses them."""
    continues: Mapping[str, str]
    """Paths whose answers it goes on with where another replica broke off, and how it is told to: `prompt` (the text is
    at the prompt's end), `continue_final_message` (in the chat's last message, with this field), `prefill` (there,
    without any). Only what does not say that text again, nor begins a new turn after it, belongs here."""
    parallel: str
    """The setting that says how many requests a replica computes at the same time; empty: it has no such bound. What
    comes beyond it waits in the gateway, by priority and in a fair order, and not in the engine."""
    metrics: Mapping[str, str]
    """Platform metric name -> the engine's own Prometheus name."""

    def variants(self, accelerators: Sequence[Accelerator]) -> Sequence[str]:
        """Environment variants that run on these accelerators, best first; empty when none does."""
        ...

    def supports(self, version: ModelVersion, model_type: ModelType, accelerators: Sequence[Accelerator]) -> Fit:
        """Whether this engine can serve that version there, with the reason. Memory is judged by the planner."""
        ...

    def endpoints(self, model_type: ModelType) -> Sequence[str]:
        """Paths the engine serves natively for a model of this type, e.g. /v1/chat/completions."""
        ...

    def defaults(self, version: ModelVersion, model_type: ModelType, mode: Mode, node_cores: float) -> Defaults:
        """Context, users and cores for `mode` on a node with `node_cores` usable cores."""
        ...

    def settings(self, request: LaunchRequest) -> Sequence[Choice]:
        """The engine parameters of the mode, each with its reason; user flags come out as chosen by the user.

        Raises InvalidError for a flag off the allow-list or out of its range.
        """
        ...

    def estimate(
        self, version: ModelVersion, model_type: ModelType, mode: Mode, sizing: Sizing
    ) -> Sequence[MemoryPart]:
        """Memory of one replica by part at its peak: weights, kv_cache, engine_overhead, ..."""
        ...

    def launch(self, request: LaunchRequest) -> LaunchSpec:
        """How to start one replica."""
        ...


@runtime_checkable
class ReportsCache(Protocol):
    """An engine that publishes its prefix-cache events."""

    def cache_events(self, model_type: ModelType) -> str | None:
        """The unix socket where it publishes those of such a model, as in a launch spec with `{listen}`; None: none."""
        ...


@runtime_checkable
class SpansNodes(Protocol):
    """An engine one replica of which can compute on several nodes together."""

    def spans(self, version: ModelVersion, vendor: str, nodes: int) -> str | None:
        """Why a replica cannot compute on so many nodes with accelerators of `vendor`; None where it can."""
        ...


@runtime_checkable
class Specialized(Protocol):
    """An engine that was made for models of some types."""

    specialty: frozenset[ModelType]
    """Types for which it is preferred to engines that serve them besides, also where those are installed already."""


def kv_bytes_per_token(architecture: Architecture, bytes_per_value: float) -> int:
    """Bytes that one token keeps in the KV cache over all layers that keep one; 0 when the model does not say.

    Keys and values of every KV head: 2 x layers x kv_heads x head_dim x bytes. With a compressed cache (MLA, the
    DeepSeek-V2 paper, section 2.1): layers x (width of the latent + width of the shared rotary key) x bytes.
    """
    layers = architecture.kv_layers if architecture.kv_layers is not None else architecture.layers
    if layers is None:
        return 0
    if architecture.kv_lora_rank is not None:
        return round(layers * (architecture.kv_lora_rank + (architecture.rope_head_dim or 0)) * bytes_per_value)
    heads = architecture.kv_heads or architecture.attention_heads
    width = head_width(architecture)
    if heads is None or width is None:
        return 0
    return round(2 * layers * heads * width * bytes_per_value)


def head_width(architecture: Architecture) -> int | None:
    """Values of one attention head; None when the model does not say."""
    if architecture.head_dim is None and architecture.hidden_size and architecture.attention_heads:
        return architecture.hidden_size // architecture.attention_heads
    return architecture.head_dim


def window_layers(architecture: Architecture) -> int:
    """Layers that keep only the keys and values of a sliding window; 0 where all keep the whole context."""
    layers, whole = architecture.layers, architecture.kv_layers
    return layers - whole if architecture.sliding_window and layers and whole is not None else 0


def layer_bytes_per_token(architecture: Architecture, bytes_per_value: float) -> int:
    """Bytes that one token keeps in one layer; 0 when the model does not say."""
    return kv_bytes_per_token(architecture.model_copy(update={"kv_layers": 1}), bytes_per_value)


def explain_cache(architecture: Architecture, sizing: Sizing) -> str:
    """For whom the KV cache is, and which layers keep less than the whole context."""
    text = f"{sizing.users} users with {sizing.context_length} tokens each"
    windowed = window_layers(architecture)
    if windowed:
        text += f"; {windowed} of {architecture.layers} layers keep a window of {architecture.sliding_window}"
    return text


def flag_choices(allowed: Mapping[str, Flag], given: Mapping[str, Any], mode: Mode) -> list[Choice]:
    """The user's flags as choices. Raises InvalidError for one off the list, out of range, or outside mode custom."""
    if given and mode is not Mode.CUSTOM:
        raise InvalidError(
            f"Engine flags were given with mode {mode}, which sets them itself.", hint="Choose mode custom."
        )
    return [
        Choice(name=name, value=_checked_flag(allowed, name, value), chosen_by="user", reason="asked for")
        for name, value in given.items()
    ]


def _checked_flag(allowed: Mapping[str, Flag], name: str, value: Any) -> Any:
    """The value; an error names the field of the spec, so that a form can show it there."""
    try:
        return _checked(allowed, name, value)
    except InvalidError as error:
        error.details["fields"] = {f"spec.engine_flags.{name}": error.message}
        raise


def _checked(allowed: Mapping[str, Flag], name: str, value: Any) -> Any:
    flag = allowed.get(name)
    if flag is None:
        raise InvalidError(
            f"The engine flag {name!r} is not allowed.", hint=f"Allowed: {', '.join(sorted(allowed)) or 'none'}."
        )
    if flag.type == "float" and type(value) is int:
        value = float(value)
    if type(value).__name__ != flag.type:
        raise InvalidError(f"The engine flag {name!r} must be of type {flag.type}, not {type(value).__name__}.")
    too_small = flag.minimum is not None and flag.type in ("int", "float") and value < flag.minimum
    too_large = flag.maximum is not None and flag.type in ("int", "float") and value > flag.maximum
    if too_small or too_large:
        raise InvalidError(
            f"The engine flag {name!r} is {value}, outside {_bound(flag.minimum)} to {_bound(flag.maximum)}."
        )
    if flag.choices and value not in flag.choices:
        raise InvalidError(f"The engine flag {name!r} is {value!r}.", hint=f"Allowed: {', '.join(flag.choices)}.")
    return value


def _bound(limit: float | None) -> str:
    return "any" if limit is None else f"{limit:g}"
