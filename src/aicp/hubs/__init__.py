"""One file a source of models."""
