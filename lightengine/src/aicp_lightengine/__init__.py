"""A server for small models on ONNX Runtime: embeddings, reranking, classification and reading of images."""

__version__ = "0.1.0"
