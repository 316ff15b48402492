"""The data plane: key, route, relay, meter. Runs without the database and without an HTTP framework."""
