"""The data plane: key, route, relay, meter. Runs without the database and without an HTTP framework."""

from aicp.gateway import compiled

COMPILED = compiled.use(__path__)
"""Whether its busiest modules run in their compiled form."""
