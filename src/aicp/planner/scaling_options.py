"""Scaling rules as options of `aicp publish` and `aicp service update`."""

from __future__ import annotations

from aicp.core.autoscale import Autoscale

_OPTIONS = {
    "min_replicas": "min-replicas",
    "max_replicas": "max-replicas",
    "queued_per_replica": "target-queue",
    "running_per_replica": "target-running",
    "kv_percent": "target-kv",
    "ttft_ms": "target-ttft-ms",
    "idle_seconds": "idle-seconds",
    "up_seconds": "up-seconds",
    "down_seconds": "down-seconds",
    "max_wait_seconds": "max-wait-seconds",
}


def scaling_options(before: Autoscale | None, after: Autoscale | None) -> list[str]:
    """What makes `before` into `after`; a target of 0 is none."""
    if after == before:
        return []
    if after is None:
        return ["--no-autoscale"]
    parts: list[str] = []
    # a maximum is always said for a rule that begins: it has no usual value
    usual = before or Autoscale(max_replicas=after.max_replicas)
    for field, option in _OPTIONS.items():
        value = getattr(after, field)
        if value != getattr(usual, field) or (before is None and field == "max_replicas"):
            parts += [f"--{option}", f"{value or 0:g}"]
    if after.windows != usual.windows:
        windows = [part for window in after.windows for part in ("--window", str(window))]
        parts += windows or ["--no-windows"]
    return parts
