"""One file an engine: (version, allocation) to LaunchSpec, health, metric names."""
