"""Well-known models that can be imported by name."""

from __future__ import annotations

from pydantic import Field

from aicp.core.model import ModelType
from aicp.core.service import Mode
from aicp.core.value import Value


class CatalogFit(Value):
    """Whether a pool, were nothing else running in it, could serve a model; an estimate from the published sizes."""

    fits: bool
    reason: str
    needed_bytes: int
    vendor: str | None = None
    product: str | None = None
    accelerators: int | None = Field(default=None, description="how many of them; 1 for the processor")
    largest_bytes: int | None = Field(
        default=None, description="memory of each accelerator; where nothing fits, of the largest"
    )
    quantization: str | None = Field(default=None, description="the smaller format it takes, e.g. int4; None: as is")


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
    fit: CatalogFit | None = Field(default=None, description="for the pool that was asked about")
