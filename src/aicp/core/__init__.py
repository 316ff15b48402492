"""Nouns, states and legal transitions, quantities, errors, clock, registry. Standard library and pydantic only."""
