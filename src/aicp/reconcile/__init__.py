"""Loops: make the world match desired state, write observed state."""
