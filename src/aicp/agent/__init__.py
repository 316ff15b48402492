"""Runs on each node: discovers devices, keeps environments and models, starts and watches engines."""
