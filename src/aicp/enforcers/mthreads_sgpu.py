"""Shares of a Moore Threads GPU in sixteenths.

Documented are the names that Kubernetes asks for (mthreads.com/sgpu-core, sgpu-memory); no command makes a share."""

from __future__ import annotations

from aicp.enforcers._not_offered import NotOffered

driver = NotOffered(
    "only names of resources for Kubernetes are documented, and neither a command nor a variable that holds a process "
    "to a share; use Kubernetes or publish on a whole GPU"
)
