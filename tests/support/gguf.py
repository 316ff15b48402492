"""The demonstration model as a GGUF folder, the format of the second engine."""

from __future__ import annotations

from pathlib import Path

from tests.support.gguf_model import gguf_from_llama

_DEMO_MODEL = Path(__file__).parents[2] / "demo" / "model"


def write_demo_gguf(directory: Path) -> Path:
    """Writes demo/model into `directory` as one GGUF file (bfloat16, norms in 32 bits); answers the file."""
    directory.mkdir(parents=True, exist_ok=True)
    return gguf_from_llama(_DEMO_MODEL, directory / "aicp-demo-bf16.gguf")
