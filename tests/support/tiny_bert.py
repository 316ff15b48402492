"""A tiny BERT with a classifier and random weights, as a folder and as a GGUF file: a cross-encoder for two engines."""

from __future__ import annotations

import json
import random
import struct
from math import prod
from pathlib import Path

from tests.support.gguf_model import (
    BOOL,
    INT32,
    STRING,
    TYPE_F32,
    file_bytes,
    list_field,
    number_field,
    real_field,
    string,
    text_field,
)
from tests.support.model_files import safetensors_bytes

_HIDDEN, _LAYERS, _HEADS, _INNER, _POSITIONS = 64, 2, 2, 128, 256
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = (
    "the", "a", "dog", "cat", "sleeps", "runs", "who", "where", "river", "city", "is", "in", "on", "old", "bridge",
    "bread", "?", ".",
)  # fmt: skip
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
VOCABULARY = (*_SPECIAL, *_WORDS, *_LETTERS[1:], *(f"##{letter}" for letter in _LETTERS))
_GGUF_NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_GGUF_TOP = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "pooler.dense": "cls",
}
RANK, MEAN = 4, 1  # how llama.cpp pools


def write_tiny_bert(directory: Path) -> Path:
    """The folder of a BertForSequenceClassification with one label."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "hidden_size": _HIDDEN,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "intermediate_size": _INNER,
        "max_position_embeddings": _POSITIONS,
        "vocab_size": len(VOCABULARY),
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "dtype": "float32",
    }
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (directory / "tokenizer.json").write_text(json.dumps(_tokenizer()))
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": _POSITIONS}
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL, strict=True))
    (directory / "tokenizer_config.json").write_text(json.dumps(settings | names))
    weights = _weights()
    data = b"".join(values for _, values in weights.values())
    entries = {name: ("F32", shape, len(values)) for name, (shape, values) in weights.items()}
    (directory / "model.safetensors").write_bytes(safetensors_bytes(entries, data))
    return directory


def write_tiny_bert_gguf(target: Path, pooling: int) -> Path:
    """The same weights as one GGUF file that answers scores (`RANK`) or embeddings (`MEAN`)."""
    fields = [
        text_field("general.architecture", "bert"),
        number_field("bert.block_count", _LAYERS),
        number_field("bert.context_length", _POSITIONS),
        number_field("bert.embedding_length", _HIDDEN),
        number_field("bert.feed_forward_length", _INNER),
        number_field("bert.attention.head_count", _HEADS),
        number_field("bert.pooling_type", pooling),
        real_field("bert.attention.layer_norm_epsilon", 1e-12),
        string("bert.attention.causal") + struct.pack("<I?", BOOL, False),
        text_field("tokenizer.ggml.model", "bert"),
        list_field("tokenizer.ggml.tokens", STRING, [string(_phantom(token)) for token in VOCABULARY]),
        list_field(
            "tokenizer.ggml.token_type", INT32, [struct.pack("<i", 3 if t in _SPECIAL else 1) for t in VOCABULARY]
        ),
        number_field("tokenizer.ggml.token_type_count", 2),
        number_field("tokenizer.ggml.padding_token_id", 0),
        number_field("tokenizer.ggml.unknown_token_id", 1),
        number_field("tokenizer.ggml.cls_token_id", 2),
        number_field("tokenizer.ggml.bos_token_id", 2),
        number_field("tokenizer.ggml.seperator_token_id", 3),  # spelled so in the format
        number_field("tokenizer.ggml.eos_token_id", 3),
        number_field("tokenizer.ggml.mask_token_id", 4),
        # [CLS] question [SEP] text [SEP], as the pair template of a BERT says
        *(
            string(f"tokenizer.ggml.add_{name}_token") + struct.pack("<I?", BOOL, added)
            for name, added in (("bos", True), ("eos", True), ("sep", False))
        ),
    ]
    tensors = [
        (_gguf_name(name), list(shape), TYPE_F32, values)
        for name, (shape, values) in _weights().items()
        if pooling == RANK or not name.startswith(("classifier", "bert.pooler"))
    ]
    target.write_bytes(file_bytes(fields, tensors))
    return target


def _phantom(token: str) -> str:
    """Words begin with a phantom space in GGUF, and their continuations do not."""
    return token if token in _SPECIAL else token.removeprefix("##") if token.startswith("##") else f"▁{token}"


def _gguf_name(name: str) -> str:
    stem, _, kind = name.removeprefix("bert.").rpartition(".")
    if stem == "classifier":
        return f"cls.output.{kind}"
    if stem in _GGUF_TOP:
        return f"{_GGUF_TOP[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_GGUF_NAMES[part]}.{kind}"


def _weights() -> dict[str, tuple[list[int], bytes]]:
    random_source = random.Random(7)
    found: dict[str, tuple[list[int], bytes]] = {}

    def add(name: str, shape: list[int], spread: float = 0.3, middle: float = 0.0) -> None:
        values = [random_source.gauss(middle, spread) for _ in range(prod(shape))]
        found[name] = (shape, struct.pack(f"<{len(values)}f", *values))

    def linear(name: str, out: int, width: int) -> None:
        add(f"{name}.weight", [out, width])
        add(f"{name}.bias", [out], 0.1)

    def norm(name: str) -> None:
        add(f"{name}.weight", [_HIDDEN], 0.1, 1.0)
        add(f"{name}.bias", [_HIDDEN], 0.1)

    add("bert.embeddings.word_embeddings.weight", [len(VOCABULARY), _HIDDEN], 1.0)
    add("bert.embeddings.position_embeddings.weight", [_POSITIONS, _HIDDEN])
    row = struct.pack(f"<{_HIDDEN}f", *(random_source.gauss(0, 0.3) for _ in range(_HIDDEN)))
    # llama.cpp takes the first segment for both texts, so the segments are alike here
    found["bert.embeddings.token_type_embeddings.weight"] = ([2, _HIDDEN], row * 2)
    norm("bert.embeddings.LayerNorm")
    for layer in range(_LAYERS):
        begin = f"bert.encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{begin}.attention.self.{part}", _HIDDEN, _HIDDEN)
        linear(f"{begin}.attention.output.dense", _HIDDEN, _HIDDEN)
        norm(f"{begin}.attention.output.LayerNorm")
        linear(f"{begin}.intermediate.dense", _INNER, _HIDDEN)
        linear(f"{begin}.output.dense", _HIDDEN, _INNER)
        norm(f"{begin}.output.LayerNorm")
    linear("bert.pooler.dense", _HIDDEN, _HIDDEN)
    linear("classifier", 1, _HIDDEN)
    return found


def _tokenizer() -> dict[str, object]:
    def special(token: str) -> dict[str, object]:
        number = VOCABULARY.index(token)
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        return {"id": number, "content": token, **plain}

    def piece(kind: str, value: str, segment: int) -> dict[str, object]:
        return {kind: {"id": value, "type_id": segment}}

    single = [piece("SpecialToken", "[CLS]", 0), piece("Sequence", "A", 0), piece("SpecialToken", "[SEP]", 0)]
    pair = [*single, piece("Sequence", "B", 1), piece("SpecialToken", "[SEP]", 1)]
    tokens = {name: {"id": name, "ids": [VOCABULARY.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    return {
        "version": "1.0",
        "added_tokens": [special(token) for token in _SPECIAL],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: number for number, token in enumerate(VOCABULARY)},
        },
    }
