"""Writes docs/reference/modes.md from the engine drivers; `--check` only says whether it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aicp.core.accelerator import Accelerator
from aicp.core.launch import Allocation, DeviceShare
from aicp.core.model import Architecture, ModelFile, ModelFormat, ModelType, ModelVersion
from aicp.core.quantity import GIB
from aicp.core.registry import Registry
from aicp.core.service import Choice, Mode
from aicp.engines.base import Engine, LaunchRequest, Sizing

FILE = Path(__file__).parents[1] / "docs" / "reference" / "modes.md"
CORES = 8
MACHINES = {
    "cpu": Accelerator(vendor="cpu", index=0, device_id="cpu-0", product="8 cores", memory_bytes=64 * GIB, cores=CORES),
    "nvidia": Accelerator(vendor="nvidia", index=0, device_id="gpu-0", product="24 GiB", memory_bytes=24 * GIB),
}
MEANING = {
    Mode.BALANCED: "many users at once with short waits; the default",
    Mode.LONG_TEXT: "long inputs for fewer users",
    Mode.CUSTOM: "starts from *balanced*; every parameter of the engine's list may be set",
}


def example(kind: ModelFormat) -> ModelVersion:
    """A chat model of 0.6 billion parameters in 16 bits, with the shape of Qwen3-0.6B."""
    name = "Qwen3ForCausalLM" if kind is ModelFormat.SAFETENSORS else "qwen3"
    path = "model.safetensors" if kind is ModelFormat.SAFETENSORS else "model.gguf"
    return ModelVersion(
        id="example",
        model="example",
        version="v1",
        digest="0" * 64,
        format=kind,
        files=[ModelFile(path=path, sha256="0" * 64, size_bytes=1_192_000_000)],
        size_bytes=1_192_000_000,
        weight_bytes=1_192_000_000,
        architecture=Architecture(
            name=name, layers=28, hidden_size=1024, attention_heads=16, kv_heads=8, head_dim=128, has_chat_template=True
        ),
        parameters=596_000_000,
        dtype="bfloat16",
        context_length=40960,
        source="example",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def encoder() -> ModelVersion:
    """An embedding model of 23 million parameters in 32 bits, with the shape of all-MiniLM-L6-v2."""
    shape = Architecture(name="BertModel", layers=6, hidden_size=384, attention_heads=12, kv_heads=12, head_dim=32)
    change = {"architecture": shape, "parameters": 23_000_000, "weight_bytes": 91_000_000, "context_length": 256}
    return example(ModelFormat.SAFETENSORS).model_copy(update=change)


def subject(engine: Engine) -> tuple[ModelVersion, ModelType]:
    """The model that an engine's figures are for, and its type."""
    if engine.endpoints(ModelType.CHAT):
        return example(sorted(engine.formats)[-1]), ModelType.CHAT
    return encoder(), ModelType.EMBEDDING


def render() -> str:
    """The page."""
    lines = [
        "# Modes and the engine parameters behind them",
        "",
        "<!-- Written by tools/write_modes.py from the engine drivers. Do not edit. -->",
        "",
        "A service is published in one of three modes. A mode stands for engine parameters; each has its reason, and",
        "`aicp publish MODEL --dry-run` shows those of your own model. What you ask for (context, users, cores) goes",
        "before what a mode would choose.",
        "",
        "| mode | what it is tuned for |",
        "|---|---|",
        *(f"| `{mode.value}` | {text} |" for mode, text in MEANING.items()),
        "",
        f"The figures below are for a chat model of 0.6 billion parameters in 16 bits on a node with {CORES} cores;",
        "where the engine serves no chat, for an embedding model of 23 million parameters.",
    ]
    registry = Registry[Engine]("aicp.engines")
    for name in registry.names():
        engine = registry.get(name)
        if not engine.internal:
            lines += _engine(engine)
    return "\n".join(lines) + "\n"


def _engine(engine: Engine) -> Iterator[str]:
    yield from ("", f"## {engine.title}")
    for vendor, machine in MACHINES.items():
        for variant in engine.variants([machine]):
            for mode in (Mode.BALANCED, Mode.LONG_TEXT):
                yield from ("", f"### `{mode.value}` on {variant}", "", "| parameter | value | why |", "|---|---|---|")
                yield from _rows(engine, vendor, variant, mode)
    yield from (
        "",
        "### What mode `custom` may set",
        "",
        "| parameter | type | allowed | meaning |",
        "|---|---|---|---|",
    )
    for flag in sorted(engine.flags.values(), key=lambda flag: flag.name):
        limits = (
            "" if flag.minimum is None and flag.maximum is None else f"{_value(flag.minimum)} to {_value(flag.maximum)}"
        )
        allowed = ", ".join(f"`{choice}`" for choice in flag.choices) or limits
        yield f"| `{flag.name}` | {flag.type} | {allowed} | {flag.description} |"
    fields = ", ".join(f"`{field}`" for field in engine.refused_fields)
    yield from ("", f"Request fields that would steer the engine are refused by the gateway: {fields}.")


def _rows(engine: Engine, vendor: str, variant: str, mode: Mode) -> Iterator[str]:
    version, model_type = subject(engine)
    defaults = engine.defaults(version, model_type, mode, CORES)
    machine = MACHINES[vendor]
    share = DeviceShare(vendor=vendor, device_id=machine.device_id, index=0, memory_bytes=8 * GIB)
    request = LaunchRequest(
        version=version,
        model_type=model_type,
        allocation=Allocation(node_id="example", devices=[share], cpu_cores=defaults.cpu_cores, memory_bytes=8 * GIB),
        mode=mode,
        sizing=Sizing(defaults.context_length, defaults.users, defaults.cpu_cores, vendor),
        served_name="example",
        engine_version=engine.versions[0],
        variant=variant,
    )
    chosen = [
        Choice(name=name, value=getattr(defaults, name), chosen_by="platform", reason=defaults.reasons.get(name, ""))
        for name in ("context_length", "users", "cpu_cores")
    ]
    choices: Sequence[Choice] = [*chosen, *engine.settings(request)]
    for choice in choices:
        yield f"| `{choice.name}` | {_value(choice.value)} | {choice.reason} |"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{int(value):,}" if value == int(value) else f"{value:,}"
    return str(value)


def main() -> int:
    """Answers 1 when `--check` finds the page out of date."""
    text = render()
    if "--check" in sys.argv[1:]:
        fresh = FILE.is_file() and FILE.read_text() == text
        print("modes.md is up to date" if fresh else "modes.md is out of date: run tools/write_modes.py")
        return 0 if fresh else 1
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
