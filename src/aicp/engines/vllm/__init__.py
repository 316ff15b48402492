"""vLLM: serves safetensors models for chat, embeddings and reranking on processors and NVIDIA devices."""

from aicp.engines.vllm.engine import VllmEngine

driver = VllmEngine()
