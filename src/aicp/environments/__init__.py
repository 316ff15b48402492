"""Builds, verifies and removes the isolated environment of an engine from a lock."""
