"""llama.cpp: serves GGUF files with the server that llama.cpp brings itself; starts in under a second."""

from aicp.engines.llamacpp.engine import LlamaCppEngine

driver = LlamaCppEngine()
