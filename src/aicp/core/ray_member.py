"""What makes a process a member of the platform's Ray: the files that prove it, and the variables that name them.

Ray reads all of it from its environment (ray.io, "TLS authentication" and "Token authentication"). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NODE_LABEL = "aicp-node"
"""Label of a Ray node that names the platform's node."""
HEAD = "head"
"""The label of the head's own Ray node: its machine's agent is a child of the platform, not of Ray."""
AGENT_VARIABLE = "AICP_RAY_AGENT"
"""Command, as a JSON list, with which the agent of a Ray node is started there."""
MARK_VARIABLE = "AICP_RAY_MEMBER"
"""Directory of the member whose Ray processes bear it; those of a member that was killed are found by it."""
AGENT_RECORD = "agent.json"
"""File of a member that says which process its agent is."""
LEAST_RECONNECT_SECONDS = 300
HEALTH_PERIOD_MS, HEALTH_TIMEOUT_MS, HEALTH_FAILURES = 700, 1500, 3
"""A killed node refuses connections and is dead after about 2 periods; a cut-off one after failures x both."""


@dataclass(frozen=True, slots=True)
class RayMember:
    """One machine's membership. `directory` holds its files, `head` is HOST:PORT, `address` the machine's own host."""

    directory: Path
    head: str
    address: str

    @property
    def authority(self) -> Path:
        """Certificate of the authority of Ray's own certificates."""
        return self.directory / "ca.pem"

    @property
    def certificate(self) -> Path:
        """This machine's certificate, made out to its address: Ray checks addresses."""
        return self.directory / "member.pem"

    @property
    def key(self) -> Path:
        """Key of the certificate."""
        return self.directory / "member.key"

    @property
    def token(self) -> Path:
        """The token that every call of Ray bears."""
        return self.directory / "token"

    def environment(self, reconnect_seconds: int) -> dict[str, str]:
        """Variables for every process of Ray: TLS on both sides, the token, quick detection, long patience."""
        return {
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": str(self.certificate),
            "RAY_TLS_SERVER_KEY": str(self.key),
            "RAY_TLS_CA_CERT": str(self.authority),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_health_check_initial_delay_ms": "2000",
            "RAY_health_check_period_ms": str(HEALTH_PERIOD_MS),
            "RAY_health_check_timeout_ms": str(HEALTH_TIMEOUT_MS),
            "RAY_health_check_failure_threshold": str(HEALTH_FAILURES),
            "RAY_gcs_rpc_server_reconnect_timeout_s": str(max(reconnect_seconds, LEAST_RECONNECT_SECONDS)),
            # memory is the enforcers' task, and Ray's own watch reads version 1 of cgroups wrongly
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            # a stop is a stop: engines were stopped before, and nothing of Ray is to be drained
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
            "RAY_enable_metrics_collection": "0",
            MARK_VARIABLE: str(self.directory),
        }


def without_ray(variables: dict[str, str]) -> dict[str, str]:
    """The variables that a process started by Ray needs no more: it is the platform's, not Ray's."""
    marks = (AGENT_VARIABLE, MARK_VARIABLE)
    return {name: text for name, text in variables.items() if not name.startswith("RAY_") and name not in marks}
