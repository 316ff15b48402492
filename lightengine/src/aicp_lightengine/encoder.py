"""The network of a BERT-like encoder as an ONNX graph, exactly as the reference implementation computes it.

Attention Is All You Need (Vaswani et al. 2017) with the norm behind each part; BERT (Devlin et al. 2018) for the heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aicp_lightengine.errors import ModelError
from aicp_lightengine.families import Shape
from aicp_lightengine.onnx_model import Graph
from aicp_lightengine.quantize import quantize, weight_levels

MEAN, FIRST, LARGEST, HEAD = "mean", "cls", "max", "head"
"""What comes out: the mean over a text's tokens, its first token, the largest of each value, or the classifier."""
_LEAST = np.array(1e-9, np.float32)
_LOWEST = np.array(-1e9, np.float32)


def build(shape: Shape, tensors: Mapping[str, np.ndarray], pooling: str, *, int8: bool) -> Graph:
    """The graph from token numbers to one row for each text. Raises ModelError where a tensor is missing.

    With `int8` every matrix is kept in 8 bits but the last one of a classifier, which is small and decides.
    """
    return _Builder(Graph(), shape, tensors, int8, weight_levels() if int8 else 0).build(pooling)


@dataclass
class _Builder:
    graph: Graph
    shape: Shape
    tensors: Mapping[str, np.ndarray]
    int8: bool
    levels: int

    def build(self, pooling: str) -> Graph:
        graph = self.graph
        ids = graph.input("input_ids", "int64", "texts", "tokens")
        mask = graph.input("attention_mask", "int32", "texts", "tokens")
        hidden = self._embeddings(ids)
        rows = graph.constant(np.array([-1, self.shape.width], np.int64))
        width = graph.constant(np.array([self.shape.width], np.int64))
        whole = graph.node("Concat", graph.node("Shape", ids), width, axis=0)
        # Matrices take all tokens of all texts as rows; only attention looks at the texts apart.
        hidden = graph.node("Reshape", hidden, rows)
        for number in range(self.shape.layers):
            hidden = self._layer(f"{self.shape.family.layers}.{number}", hidden, mask, rows, whole)
        hidden = graph.node("Reshape", hidden, whole)
        graph.output("result", self._pooled(pooling, hidden, mask), "texts", "values")
        return graph

    def _embeddings(self, ids: str) -> str:
        graph = self.graph
        positions = graph.input("position_ids", "int64", "texts", "tokens")
        words = graph.node("Gather", self._weight("embeddings.word_embeddings.weight"), ids)
        places = graph.node("Gather", self._weight("embeddings.position_embeddings.weight"), positions)
        hidden = graph.node("Add", words, places)
        if self.shape.family.segments:
            segments = graph.input("token_type_ids", "int64", "texts", "tokens")
            of_segment = graph.node("Gather", self._weight("embeddings.token_type_embeddings.weight"), segments)
            hidden = graph.node("Add", hidden, of_segment)
        return self._norm("embeddings.LayerNorm", hidden)

    def _layer(self, begin: str, hidden: str, mask: str, rows: str, whole: str) -> str:
        graph, names = self.graph, self.shape.family.layer
        query, key, value = (
            graph.node("Reshape", self._linear(f"{begin}.{name}", hidden), whole)
            for name in (names.query, names.key, names.value)
        )
        seen = graph.node("MultiHeadAttention", query, key, value, "", mask, microsoft=True, num_heads=self.shape.heads)
        seen = self._linear(f"{begin}.{names.attention_out}", graph.node("Reshape", seen, rows))
        hidden = self._norm(f"{begin}.{names.attention_norm}", graph.node("Add", seen, hidden))
        inner = self._activated(self._linear(f"{begin}.{names.inner}", hidden))
        return self._norm(
            f"{begin}.{names.norm}", graph.node("Add", self._linear(f"{begin}.{names.outer}", inner), hidden)
        )

    def _activated(self, values: str) -> str:
        kinds = {"gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "gelu": "none"}
        if self.shape.activation in kinds:
            return self.graph.node("Gelu", values, approximate=kinds[self.shape.activation])
        if self.shape.activation == "relu":
            return self.graph.node("Relu", values)
        raise ModelError(f"The activation {self.shape.activation!r} is not known here.")

    def _pooled(self, pooling: str, hidden: str, mask: str) -> str:
        graph = self.graph
        first = graph.node("Gather", hidden, graph.constant(np.array(0, np.int64)), axis=1)
        if pooling == FIRST:
            return first
        if pooling == HEAD:
            return self._head(first)
        present = graph.node("Unsqueeze", graph.node("Cast", mask, to=1), graph.constant(np.array([2], np.int64)))
        tokens = graph.constant(np.array([1], np.int64))
        if pooling == LARGEST:
            absent = graph.node("Mul", graph.node("Sub", graph.constant(np.array(1, np.float32)), present),
                                graph.constant(_LOWEST))  # fmt: skip
            return graph.node("ReduceMax", graph.node("Add", hidden, absent), tokens, keepdims=0)
        total = graph.node("ReduceSum", graph.node("Mul", hidden, present), tokens, keepdims=0)
        count = graph.node("ReduceSum", present, tokens, keepdims=0)
        return graph.node("Div", total, graph.node("Max", count, graph.constant(_LEAST)))

    def _head(self, first: str) -> str:
        kind = self.shape.family.head
        if kind == "bert":
            return self._linear("classifier", self.graph.node("Tanh", self._linear("pooler.dense", first)), last=True)
        if kind == "roberta":
            inner = self.graph.node("Tanh", self._linear("classifier.dense", first))
            return self._linear("classifier.out_proj", inner, last=True)
        return self._linear("classifier", self.graph.node("Relu", self._linear("pre_classifier", first)), last=True)

    def _linear(self, name: str, rows: str, *, last: bool = False) -> str:
        bias = self._weight(f"{name}.bias")
        if not self.int8 or last:
            return self.graph.node("Gemm", rows, self._weight(f"{name}.weight"), bias, transB=1)
        values, scales = quantize(self._tensor(f"{name}.weight"), self.levels)
        kept = self.graph.weight(f"{name}.weight", values)
        scale = self.graph.weight(f"{name}.scale", scales)
        return self.graph.node("DynamicQuantizeMatMul", rows, kept, scale, "", bias, microsoft=True)

    def _norm(self, name: str, values: str) -> str:
        scale, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self.graph.node("LayerNormalization", values, scale, bias, axis=-1, epsilon=self.shape.epsilon)

    def _weight(self, name: str) -> str:
        return name if name in self.graph.weights else self.graph.weight(name, self._tensor(name))

    def _tensor(self, name: str) -> np.ndarray:
        # Checkpoints converted from TensorFlow call a norm's values gamma and beta.
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        for begin in self.shape.family.begins:
            for candidate in (begin + name, begin + old):
                if candidate in self.tensors:
                    return self.tensors[candidate]
        raise ModelError(f"The weights lack the tensor {name}, so they are not those of this architecture.")
