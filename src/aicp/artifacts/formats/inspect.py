"""What a set of model files is: reads configuration and weight headers, never the weights themselves."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeVar

from aicp.artifacts.formats import config as configs
from aicp.artifacts.formats import gguf, onnx, safetensors
from aicp.artifacts.formats.templates import template_marks, template_of
from aicp.artifacts.formats.windows import gguf_windows
from aicp.core.errors import InvalidError
from aicp.core.model import Architecture, ModelFormat, ModelType

T = TypeVar("T")
_TEMPLATE_BYTES = 32 * 2**20
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64", "F8_E4M3": "float8_e4m3fn"}
_SCALES = re.compile(
    r"(scales?|scale_inv|zeros|zero_point|g_idx|absmax|quant_map|quant_state\.[\w.]+|weight_shape|input_scale)$"
)
_PACKED = re.compile(r"(qweight|weight_packed|_blocks)$")


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files by relative path: their sizes in bytes and how to open one."""

    sizes: Mapping[str, int]
    open: Callable[[str], BinaryIO]

    def read(self, path: str, limit_bytes: int = configs.MAX_CONFIG_BYTES) -> bytes | None:
        """A small file, None when it is absent. Raises InvalidError beyond the limit."""
        if path not in self.sizes:
            return None
        if self.sizes[path] > limit_bytes:
            raise InvalidError(f"{path} has {self.sizes[path]:,} bytes; at most {limit_bytes:,} are allowed.")
        with self.open(path) as file:
            return file.read()


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found. `weight_bytes` is the size of the weight files."""

    architecture: Architecture
    type: ModelType
    weight_bytes: int
    parameters: int | None
    dtype: str | None
    quantization: str | None
    context_length: int | None


def inspect_files(files: FileSet, format: ModelFormat, *, hint: str = "") -> Facts:
    """Facts of a whole version. `hint` is the name it came under. Raises InvalidError for anything broken."""
    if format is ModelFormat.ONNX:
        return _inspect_onnx(files)
    return _inspect_gguf(files, hint) if format is ModelFormat.GGUF else _inspect_safetensors(files, hint)


def check_weights(files: FileSet, path: str) -> None:
    """Checks the header of one weight file; others pass. Raises InvalidError that names it."""
    if path.lower().endswith(".gguf"):
        _read(files, path, gguf.read_head)
    elif path.lower().endswith(".safetensors"):
        _read(files, path, safetensors.read_tensors)
    elif path.lower().endswith(".onnx"):
        _read(files, path, onnx.check_model)


def _read(files: FileSet, path: str, reader: Callable[[BinaryIO, int], T]) -> T:
    try:
        with files.open(path) as file:
            return reader(file, files.sizes[path])
    except InvalidError as error:
        raise InvalidError(f"{path}: {error.message}", hint=error.hint, code=error.code) from error


def _inspect_safetensors(files: FileSet, hint: str) -> Facts:
    content = files.read("config.json")
    if content is None:
        raise InvalidError(
            "config.json is missing, so no engine could load the weights.",
            hint="Import the folder that holds config.json beside the .safetensors files.",
            code="no_config",
        )
    config = configs.parse_object(content, "config.json")
    _check_index(files)
    elements: Counter[str] = Counter()
    size = 0
    bits = configs.quantization_bits(config)
    for path in _weights(files, ".safetensors"):
        size += files.sizes[path]
        for tensor in _read(files, path, safetensors.read_tensors):
            elements[tensor.dtype] += _logical_elements(tensor, bits)
    return Facts(
        architecture=configs.architecture_of(
            config, has_chat_template=_has_chat_template(files), template_marks=template_marks(_chat_template(files))
        ),
        type=configs.type_of(config, sentence_transformer="modules.json" in files.sizes, hint=hint),
        weight_bytes=size,
        parameters=sum(elements.values()) or None,
        dtype=_dtype(config, elements),
        quantization=configs.quantization_of(config),
        context_length=_context(files, config),
    )


def _logical_elements(tensor: safetensors.Tensor, bits: int | None) -> int:
    """Parameters that a stored tensor stands for: packed integers hold several, scales and indices none."""
    if _SCALES.search(tensor.name):
        return 0
    if tensor.dtype in ("I32", "I64") and _PACKED.search(tensor.name):
        return tensor.size_bytes * 8 // (bits or 4)
    if tensor.dtype in ("U8", "I8") and (tensor.name.endswith("_blocks") or bits == 4):
        return tensor.elements * 2
    return tensor.elements


def _dtype(config: Mapping[str, Any], elements: Counter[str]) -> str | None:
    if configs.quantization_of(config) is not None and (declared := configs.declared_dtype(config)):
        return declared
    floats = [(count, name) for name, count in elements.items() if name in _DTYPES]
    return _DTYPES[max(floats)[1]] if floats else configs.declared_dtype(config)


def _context(files: FileSet, config: Mapping[str, Any]) -> int | None:
    length = configs.context_length_of(config)
    content = files.read("sentence_bert_config.json")
    if content is not None:
        limit = configs.parse_object(content, "sentence_bert_config.json").get("max_seq_length")
        if isinstance(limit, int) and limit > 0:
            return min(limit, length or limit)
    return length


def _has_chat_template(files: FileSet) -> bool:
    if any(PurePosixPath(path).name.startswith("chat_template.") for path in files.sizes):
        return True
    content = files.read("tokenizer_config.json", _TEMPLATE_BYTES)
    return content is not None and b'"chat_template"' in content


def _chat_template(files: FileSet) -> str:
    """All texts of templates together; empty where there is none that can be read."""
    texts = [template_of(files.read("tokenizer_config.json", _TEMPLATE_BYTES), whole_file=False)]
    for path in sorted(files.sizes):
        name = PurePosixPath(path).name
        if name.startswith("chat_template.") and files.sizes[path] <= _TEMPLATE_BYTES:
            texts.append(template_of(files.read(path, _TEMPLATE_BYTES), whole_file=not name.endswith(".json")))
    return "\n".join(texts)


def _check_index(files: FileSet) -> None:
    for path in files.sizes:
        if not path.endswith(".safetensors.index.json"):
            continue
        try:
            shards = set(json.loads(files.read(path, 64 * 2**20) or b"")["weight_map"].values())
            missing = sorted(shard for shard in shards if _beside(path, shard) not in files.sizes)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidError(f"{path} is not a valid index of weight files.") from error
        if missing:
            raise InvalidError(
                f"{path} names weight files that are missing: {', '.join(missing[:5])}.",
                hint="Complete the source, then import again.",
                code="missing_weights",
                details={"missing": missing[:1000]},
            )


def _beside(path: str, name: str) -> str:
    return str(PurePosixPath(path).parent / name)


def _weights(files: FileSet, suffix: str) -> list[str]:
    return sorted(path for path in files.sizes if path.lower().endswith(suffix))


def _inspect_onnx(files: FileSet) -> Facts:
    paths = _weights(files, ".onnx")
    for path in paths:
        _read(files, path, onnx.check_model)
    if not onnx.is_reader(paths):
        raise InvalidError(
            "The ONNX files are not models that read images: one named det and one named rec are expected.",
            hint="Import embedding, rerank and classification models as safetensors; they are computed with ONNX here.",
            code="unknown_onnx",
        )
    return Facts(
        architecture=Architecture(name=onnx.READER),
        type=ModelType.OCR,
        weight_bytes=sum(files.sizes[path] for path in paths),
        parameters=None,
        dtype="float32",
        quantization=None,
        context_length=None,
    )


def _inspect_gguf(files: FileSet, hint: str) -> Facts:
    paths = [path for path in _weights(files, ".gguf") if not PurePosixPath(path).name.lower().startswith("mmproj")]
    projector = len(paths) < len(_weights(files, ".gguf"))
    heads = [_read(files, path, gguf.read_head) for path in paths]
    fields = {key: configs.plain(value) for key, value in heads[0].fields.items()}
    name = str(fields.get("general.architecture", "unknown"))[:200]
    tensors = [tensor for head in heads for tensor in head.tensors]
    return Facts(
        architecture=_gguf_architecture(name, fields, {tensor.name: tensor.shape for tensor in tensors}),
        type=_gguf_type(name, fields, projector, f"{hint} {fields.get('general.name', '')}".lower()),
        weight_bytes=sum(files.sizes[path] for path in _weights(files, ".gguf")),
        parameters=sum(_count(tensor.shape) for tensor in tensors) or None,
        dtype=None,
        quantization=_gguf_quantization(fields, tensors),
        context_length=_field(fields, f"{name}.context_length"),
    )


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _field(fields: Mapping[str, Any], key: str) -> int | None:
    value = fields.get(key)
    if isinstance(value, list):
        value = max((item for item in value if isinstance(item, int)), default=None)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else None


def _gguf_architecture(name: str, fields: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
    def number(key: str) -> int | None:
        return _field(fields, f"{name}.{key}")

    layers, heads, hidden = number("block_count"), number("attention.head_count"), number("embedding_length")
    whole, window = gguf_windows(name, fields, layers)
    vocabulary = fields.get("tokenizer.ggml.tokens")
    embedding = shapes.get("token_embd.weight", ())
    return Architecture(
        name=name,
        layers=layers,
        hidden_size=hidden,
        attention_heads=heads,
        kv_heads=number("attention.head_count_kv") or heads,
        head_dim=number("attention.key_length") or (hidden // heads if hidden and heads else None),
        kv_layers=whole,
        kv_lora_rank=number("attention.kv_lora_rank"),
        rope_head_dim=number("rope.dimension_count") if number("attention.kv_lora_rank") else None,
        sliding_window=window,
        vocab_size=number("vocab_size")
        or (vocabulary["items"] if isinstance(vocabulary, dict) else None)
        or (embedding[1] if len(embedding) == 2 else None),
        experts=number("expert_count"),
        experts_per_token=number("expert_used_count"),
        has_chat_template="tokenizer.chat_template" in fields,
        config=dict(fields),
    )


def _gguf_type(name: str, fields: Mapping[str, Any], projector: bool, hint: str) -> ModelType:
    pooling = fields.get(f"{name}.pooling_type")
    if pooling == 4 or "rerank" in hint:  # LLAMA_POOLING_TYPE_RANK
        return ModelType.RERANK
    if pooling in (1, 2, 3) or "bert" in name or "embed" in hint:
        return ModelType.EMBEDDING
    if "ocr" in hint:
        return ModelType.OCR
    return ModelType.VISION if projector else ModelType.CHAT


def _gguf_quantization(fields: Mapping[str, Any], tensors: list[gguf.GgufTensor]) -> str | None:
    known = gguf.FILE_TYPES.get(fields.get("general.file_type", -1))
    if known is not None:
        return known
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.type] += tensor.size_bytes
    return sizes.most_common(1)[0][0] if sizes else None
