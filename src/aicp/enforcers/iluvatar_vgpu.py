"""Shares of an Iluvatar GPU in units of 1 % and 256 MiB.

They are made and held by the vendor's gpu-manager, which speaks to Kubernetes alone."""

from __future__ import annotations

from aicp.enforcers._not_offered import NotOffered

driver = NotOffered(
    "the shares are made by gpu-manager of Iluvatar, which serves Kubernetes alone; no command or variable for a "
    "process outside of it is documented; use Kubernetes or publish on a whole GPU"
)
