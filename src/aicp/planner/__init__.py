"""Sizing and what-if as pure functions over model facts, engines and the scheduler."""
