"""Sliced GPUs of MetaX, made by the driver.

Documented is how the vendor's container runtime hands one to a container; how a plain process is held to one is not."""

from __future__ import annotations

from aicp.enforcers._not_offered import NotOffered

driver = NotOffered(
    "a sliced GPU is handed to a container by the runtime of MetaX; how a process outside of one is held to it is not "
    "documented; use Kubernetes or publish on a whole GPU"
)
