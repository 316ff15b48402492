"""Virtual DCUs of Hygon: whole compute units and memory of a card.

Documented are their making (hy-smi virtual -create-vdevices), their end only all at once for a card, and how a
container is put into one: its file /etc/vdev/vdevN.conf is mounted at /etc/vdev/docker. Without that mount a process
gets the whole card, and no variable does the same."""

from __future__ import annotations

from aicp.enforcers._not_offered import NotOffered

driver = NotOffered(
    "a process is put into a virtual DCU by a file that a container runtime mounts at /etc/vdev/docker; no variable "
    "does it, and without it the process has the whole card; use Kubernetes or publish on a whole DCU"
)
