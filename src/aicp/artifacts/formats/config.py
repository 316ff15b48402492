"""Facts from a model's config.json, for the attention layouts in use: grouped, latent, sliding window, hybrid."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from aicp.artifacts.formats.windows import config_windows
from aicp.core.errors import InvalidError
from aicp.core.model import Architecture, ModelType

# What published files of a family leave out because transformers knows it.
_LEFT_OUT: dict[str, dict[str, int]] = {
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262_208,
        "max_position_embeddings": 131_072,
    },
}
MAX_CONFIG_BYTES = 2 * 2**20
_MAX_DEPTH = 32
Config = Mapping[str, Any]


def parse_object(content: bytes, path: str) -> dict[str, Any]:
    """A JSON object that is safe to keep. Raises InvalidError for any other content, or one nested too deeply."""
    try:
        value = json.loads(content)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return plain(value)
    except (ValueError, RecursionError) as error:
        raise InvalidError(
            f"{path} is not a valid JSON object ({str(error)[:200]}).", hint="Download or export it again."
        ) from error


def plain(value: Any, depth: int = 0) -> Any:
    """The same value in what every database keeps: finite numbers, well-formed text. Raises ValueError if too deep."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {plain(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return float(value) if abs(value) < 10**300 else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "")
    return value


def text_part(config: Config) -> Config:
    """The part that describes the language model; models that also see or hear nest it."""
    for key in ("text_config", "llm_config", "language_config", "thinker_config"):
        part = config.get(key)
        if isinstance(part, dict) and part:
            return text_part(part)
    return config


def _completed(text: Config) -> Config:
    return {**_LEFT_OUT.get(str(text.get("model_type", "")), {}), **text}


def architecture_of(config: Config, *, has_chat_template: bool, template_marks: Sequence[str] = ()) -> Architecture:
    """The facts of a parsed config.json."""
    text = _completed(text_part(config))
    layers = _number(text, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    heads = _number(text, "num_attention_heads", "n_head", "n_heads")
    hidden = _number(text, "hidden_size", "n_embd", "d_model", "dim")
    latent = _number(text, "kv_lora_rank")
    head_dim = _number(text, "head_dim")
    if head_dim is None and latent is not None and (nope := _number(text, "qk_nope_head_dim")) is not None:
        head_dim = nope + (_number(text, "qk_rope_head_dim") or 0)
    if head_dim is None and hidden and heads:
        head_dim = hidden // heads
    whole, window = config_windows(text, layers)
    return Architecture(
        name=_name(config),
        layers=layers,
        hidden_size=hidden,
        attention_heads=heads,
        kv_heads=_number(text, "num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num") or heads,
        head_dim=head_dim,
        kv_layers=whole,
        kv_lora_rank=latent,
        rope_head_dim=_number(text, "qk_rope_head_dim"),
        sliding_window=window,
        vocab_size=_number(text, "vocab_size") or _number(config, "vocab_size"),
        experts=_number(text, "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
        experts_per_token=_number(text, "num_experts_per_tok", "experts_per_token", "moe_top_k", "moe_k"),
        has_chat_template=has_chat_template,
        template_marks=list(template_marks),
        config={key: value for key, value in config.items() if key != "auto_map"},
    )


def context_length_of(config: Config) -> int | None:
    """Tokens the model was made for. RoBERTa counts two reserved positions that callers cannot use."""
    text = _completed(text_part(config))
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx", "max_sequence_length")
    length = _number(text, *names) or _number(config, *names)
    if length and "roberta" in str(text.get("model_type", "")):
        return length - 2
    return length


def quantization_of(config: Config) -> str | None:
    """The scheme that config.json names: gptq, awq, fp8, bitsandbytes, compressed-tensors, mxfp4, ..."""
    for part in (config, text_part(config)):
        scheme = part.get("quantization_config") or part.get("compression_config")
        if isinstance(scheme, dict) and scheme:
            return str(scheme.get("quant_method") or scheme.get("quant_algo") or "unknown").lower()
    return None


def quantization_bits(config: Config) -> int | None:
    """Bits of a packed weight where config.json says so."""
    for part in (config, text_part(config)):
        scheme = part.get("quantization_config") or part.get("compression_config")
        if isinstance(scheme, dict):
            if scheme.get("load_in_4bit") or scheme.get("_load_in_4bit"):
                return 4
            return _number(scheme, "bits", "w_bit") or _compressed_bits(scheme)
    return None


def declared_dtype(config: Config) -> str | None:
    """The element type config.json names, e.g. bfloat16."""
    text = text_part(config)
    for part in (config, text):
        found = part.get("dtype") or part.get("torch_dtype")
        if isinstance(found, str):
            return found.removeprefix("torch.")
    return None


_ENCODERS = ("Bert", "Roberta", "MPNet", "Gte", "NomicBert", "ModernBert", "Electra", "DebertaV2", "T5Encoder")


def type_of(config: Config, *, sentence_transformer: bool, hint: str) -> ModelType:
    """What the model is for, from its architecture and side files; `hint` is the name it came under."""
    name = _name(config)
    said = f"{name} {config.get('model_type', '')}".lower()
    hint = hint.lower()
    if "ForSequenceClassification" in name and _labels(config) > 1 and "rerank" not in hint:
        return ModelType.CLASSIFICATION
    if "ForSequenceClassification" in name or "rerank" in hint:
        return ModelType.RERANK
    if sentence_transformer or "embed" in hint:
        return ModelType.EMBEDDING
    if "ocr" in said or "ocr" in hint:
        return ModelType.OCR
    if any(key in config for key in ("vision_config", "visual")) or "vl" in said or "llava" in said:
        return ModelType.VISION
    if any(name.startswith(prefix) or f"{prefix}Model" in name for prefix in _ENCODERS):
        return ModelType.EMBEDDING
    return ModelType.CHAT


def _labels(config: Config) -> int:
    """Labels of a classifier where config.json names them, else one."""
    named = config.get("id2label")
    return len(named) if isinstance(named, dict) and named else 1


def _name(config: Config) -> str:
    names = config.get("architectures")
    if isinstance(names, list) and names and isinstance(names[0], str):
        return names[0]
    return str(config.get("model_type") or "unknown")[:200]


def _number(config: Config, *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40:
            return value
    return None


def _compressed_bits(scheme: Mapping[str, Any]) -> int | None:
    groups = scheme.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            return _number(weights, "num_bits")
    return None
