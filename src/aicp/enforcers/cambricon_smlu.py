"""Shares of a Cambricon MLU in units of 1 % and 256 MiB.

Documented is the switch of a card (cnmon set -c CARD -smlu on). The shares themselves are made by the vendor's device
plugin for Kubernetes, which hands their device files to a container."""

from __future__ import annotations

from aicp.enforcers._not_offered import NotOffered

driver = NotOffered(
    "cnmon can switch shares on for a card (cnmon set -c CARD -smlu on), but only the device plugin of Cambricon for "
    "Kubernetes makes one and hands it to a container; use Kubernetes or publish on a whole MLU"
)
