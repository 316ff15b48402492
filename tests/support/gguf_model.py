"""A Llama folder rewritten as one GGUF file, without any converter: real weights for a second engine."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

_U32, _F32, BOOL, STRING, _ARRAY, INT32 = 4, 6, 7, 8, 9, 5
TYPE_F32, _TYPE_BF16 = 0, 30
_ALIGNMENT = 32
_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_from_llama(directory: Path, target: Path) -> Path:
    """Writes the safetensors model in `directory` (Llama, bfloat16, byte-level BPE) to the file `target`."""
    config = json.loads((directory / "config.json").read_text())
    raw = (directory / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    tensors: list[tuple[str, list[int], int, bytes]] = []
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = (8 + length + offset for offset in entry["data_offsets"])
            tensors.append(_tensor(name, entry["shape"], raw[first:last], config))
    target.write_bytes(file_bytes(_fields(config, directory), tensors))
    return target


def _tensor(name: str, shape: list[int], data: bytes, config: dict[str, Any]) -> tuple[str, list[int], int, bytes]:
    if len(shape) == 1:
        # llama.cpp wants norms in 32 bits; a bfloat16 is the upper half of one.
        data = b"".join(b"\0\0" + data[at : at + 2] for at in range(0, len(data), 2))
        return _rename(name), shape, TYPE_F32, data
    for part, heads in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
        if part in name:
            data = _interleave(data, shape, config[heads])
    return _rename(name), shape, _TYPE_BF16, data


def _interleave(data: bytes, shape: list[int], heads: int) -> bytes:
    """Rotary pairs lie half a head apart in safetensors and side by side in GGUF."""
    rows, width = shape[0], shape[1] * 2
    half = rows // heads // 2
    order = [head * half * 2 + side * half + pair for head in range(heads) for pair in range(half) for side in (0, 1)]
    return b"".join(data[row * width : (row + 1) * width] for row in order)


def _rename(name: str) -> str:
    known = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in known:
        return known[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_LAYER_NAMES[rest.removesuffix('.weight')]}.weight"


def _fields(config: dict[str, Any], directory: Path) -> list[bytes]:
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    settings = json.loads((directory / "tokenizer_config.json").read_text())
    vocabulary = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    special = {entry["id"]: entry["content"] for entry in tokenizer["added_tokens"]}
    tokens = [special.get(n) or vocabulary[n] for n in range(config["vocab_size"])]
    kinds = [3 if n in special else 1 for n in range(config["vocab_size"])]
    merges = [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    return [
        text_field("general.architecture", "llama"),
        number_field("llama.block_count", config["num_hidden_layers"]),
        number_field("llama.context_length", config["max_position_embeddings"]),
        number_field("llama.embedding_length", config["hidden_size"]),
        number_field("llama.feed_forward_length", config["intermediate_size"]),
        number_field("llama.attention.head_count", config["num_attention_heads"]),
        number_field("llama.attention.head_count_kv", config["num_key_value_heads"]),
        number_field("llama.rope.dimension_count", config["head_dim"]),
        number_field("llama.vocab_size", config["vocab_size"]),
        real_field("llama.rope.freq_base", config["rope_parameters"]["rope_theta"]),
        real_field("llama.attention.layer_norm_rms_epsilon", config["rms_norm_eps"]),
        text_field("tokenizer.ggml.model", "gpt2"),
        text_field("tokenizer.ggml.pre", "gpt-2"),
        list_field("tokenizer.ggml.tokens", STRING, [string(token) for token in tokens]),
        list_field("tokenizer.ggml.token_type", INT32, [struct.pack("<i", kind) for kind in kinds]),
        list_field("tokenizer.ggml.merges", STRING, [string(merge) for merge in merges]),
        number_field("tokenizer.ggml.eos_token_id", config["eos_token_id"]),
        string("tokenizer.ggml.add_bos_token") + struct.pack("<I?", BOOL, False),
        text_field("tokenizer.chat_template", settings["chat_template"]),
    ]


def file_bytes(fields: list[bytes], tensors: list[tuple[str, list[int], int, bytes]]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields)) + b"".join(fields)
    body, infos = b"", b""
    for name, shape, kind, data in tensors:
        infos += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, len(body))
        body += data + bytes(-len(data) % _ALIGNMENT)
    head += infos
    return head + bytes(-len(head) % _ALIGNMENT) + body


def string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def text_field(key: str, value: str) -> bytes:
    return string(key) + struct.pack("<I", STRING) + string(value)


def number_field(key: str, value: int) -> bytes:
    return string(key) + struct.pack("<II", _U32, value)


def real_field(key: str, value: float) -> bytes:
    return string(key) + struct.pack("<If", _F32, value)


def list_field(key: str, kind: int, items: list[bytes]) -> bytes:
    return string(key) + struct.pack("<IIQ", _ARRAY, kind, len(items)) + b"".join(items)
