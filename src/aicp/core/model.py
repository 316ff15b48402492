"""Models, their immutable versions, and where versions come from."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from aicp.core.ids import NAME_PATTERN
from aicp.core.value import Request, Value


class ModelType(StrEnum):
    """What a model is for."""

    CHAT = "chat"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    CLASSIFICATION = "classification"
    OCR = "ocr"
    VISION = "vision"


class Visibility(StrEnum):
    """Who may use a model: every project, or the one that owns it."""

    PUBLIC = "public"
    PROJECT = "project"


class ModelFormat(StrEnum):
    """Weight formats that may enter."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    ONNX = "onnx"


class ModelFile(Value):
    """One file of a version: relative POSIX path, content digest (hex SHA-256), size."""

    path: str
    sha256: str
    size_bytes: int


class Architecture(Value):
    """Facts read from config.json or the GGUF header; None where the model does not say.

    `kv_layers` counts only layers that keep a full-context KV cache; `kv_bytes_per_token` (all layers, at the
    model's own KV dtype) is derived from these in `aicp.planner`.
    """

    name: str = Field(description="class name or GGUF architecture, e.g. Qwen3ForCausalLM or qwen3")
    layers: int | None = None
    hidden_size: int | None = None
    attention_heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    kv_layers: int | None = None
    kv_lora_rank: int | None = Field(default=None, description="MLA: width of the compressed KV")
    rope_head_dim: int | None = Field(default=None, description="MLA: width of the shared rotary key")
    sliding_window: int | None = None
    vocab_size: int | None = None
    experts: int | None = None
    experts_per_token: int | None = None
    has_chat_template: bool = False
    template_marks: list[str] = Field(
        default=[], description="words of the chat template that tell how tool calls and reasoning are written"
    )
    config: dict[str, Any] = Field(default={}, description="config.json without auto_map, or the GGUF key-values")


class ModelVersion(Value):
    """Immutable weights with a digest: the SHA-256 over the sorted list of (path, sha256)."""

    id: str
    model: str
    version: str
    digest: str
    format: ModelFormat
    files: list[ModelFile]
    size_bytes: int
    weight_bytes: int
    architecture: Architecture
    parameters: int | None = None
    dtype: str | None = None
    quantization: str | None = None
    context_length: int | None = None
    license: str | None = None
    source: str
    lineage: dict[str, Any] = {}
    notes: list[str] = Field(default=[], description="what the import skipped, removed or noticed")
    created_at: AwareDatetime
    created_by: str | None = None


class Model(Value):
    """A name under which versions are kept."""

    id: str
    name: str
    description: str = ""
    type: ModelType
    visibility: Visibility
    project: str = Field(description="name of the owning project")
    aliases: dict[str, str] = Field(default={}, description="alias -> version; `latest` always exists")
    versions: int = 0
    latest: ModelVersion | None = None
    used_by: list[str] = Field(default=[], description="names of services that publish it")
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ModelCreate(Request):
    """A new, still empty model."""

    name: str = Field(pattern=NAME_PATTERN)
    description: str = Field(default="", max_length=2000)
    type: ModelType | None = Field(default=None, description="found from the files when not given")
    visibility: Visibility = Visibility.PUBLIC
    project: str = "default"


class ModelUpdate(Request):
    """What may change on a model."""

    description: str | None = Field(default=None, max_length=2000)
    type: ModelType | None = None
    visibility: Visibility | None = None


class DirectorySource(Request):
    """A folder on the platform's machine."""

    kind: Literal["directory"] = "directory"
    path: str


class UploadSource(Request):
    """A finished upload."""

    kind: Literal["upload"] = "upload"
    upload_id: str


class UrlSource(Request):
    """An archive (tar, tar.gz, zip) or a single GGUF file over HTTP(S)."""

    kind: Literal["url"] = "url"
    url: str
    sha256: str | None = None


class S3Source(Request):
    """A prefix in an S3-compatible store."""

    kind: Literal["s3"] = "s3"
    endpoint: str | None = None
    bucket: str
    prefix: str = ""
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = None


class HuggingFaceSource(Request):
    """A repository on a Hugging Face compatible hub."""

    kind: Literal["huggingface"] = "huggingface"
    repo: str
    revision: str | None = None
    endpoint: str | None = None
    token: str | None = None
    include: list[str] = []


class ModelScopeSource(Request):
    """A repository on ModelScope."""

    kind: Literal["modelscope"] = "modelscope"
    repo: str
    revision: str | None = None
    endpoint: str | None = None
    token: str | None = None
    include: list[str] = []


ImportSource = DirectorySource | UploadSource | UrlSource | S3Source | HuggingFaceSource | ModelScopeSource


class ImportRequest(Request):
    """Import a new version of a model; the model is made when it does not exist. Answered with a Job."""

    source: ImportSource = Field(discriminator="kind")
    version: str | None = Field(default=None, pattern=NAME_PATTERN, description="default: v1, v2, ...")
    description: str = Field(default="", max_length=2000)
    type: ModelType | None = None
    visibility: Visibility = Visibility.PUBLIC
    project: str = "default"
    license: str | None = Field(default=None, max_length=200)
    skip_unsafe: bool = Field(default=False, description="leave out files off the allow-list instead of refusing")
