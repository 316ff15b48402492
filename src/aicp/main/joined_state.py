"""What a joined node keeps of its joining."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from aicp.agent.membership import Membership
from aicp.core.errors import InvalidError
from aicp.core.mutual import CONTROL_NAME, MutualAddress
from aicp.main.cluster_settings import split_address
from aicp.security.tls_identity import TlsIdentity


@dataclass(frozen=True, slots=True)
class JoinedState:
    """What a node keeps of its joining: where control is, and how others reach this node (ports 0: any)."""

    control: str
    host: str
    bind: str
    port: int
    engine_port: int

    def control_url(self) -> str:
        """Where control answers nodes."""
        return str(MutualAddress(CONTROL_NAME, *split_address(self.control)))

    def membership(self, data_dir: Path) -> Membership:
        """The same for the agent."""
        credentials = TlsIdentity.kept(data_dir / "run" / "authority", "node")
        return Membership(self.host, data_dir / "run", credentials, self.bind, self.port, self.engine_port)


def state_file(data_dir: Path) -> Path:
    """Where a joined node keeps what it knows."""
    return data_dir / "run" / "node.json"


def read_state(data_dir: Path) -> JoinedState | None:
    """What is kept on a data directory; None where no node has joined. Raises InvalidError when it is damaged."""
    try:
        return JoinedState(**json.loads(state_file(data_dir).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InvalidError(
            f"{state_file(data_dir)} is damaged.", hint="Run `aicp node leave`, then join again with a new token."
        ) from error
