"""Well-known models that can be imported by name."""

from __future__ import annotations

from aicp.core.model import ModelType
from aicp.core.service import Mode
from aicp.core.value import Value


class CatalogModel(Value):
    """One well-known model: where hubs keep it, how large it is, and the mode that suits it."""

    name: str
    title: str
    family: str
    type: ModelType
    parameters: int
    active_parameters: int | None = None
    dtype: str = "bfloat16"
    weight_bytes: int
    context_length: int
    license: str
    huggingface: str | None = None
    modelscope: str | None = None
    mode: Mode = Mode.BALANCED
    description: str = ""
