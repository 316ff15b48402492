"""Certificates as the platform's own authority gives them to its processes."""

from __future__ import annotations

from pathlib import Path

from tests.support.certificates import Authority

from aicp.core.mutual import node_name
from aicp.security.tls_identity import TlsIdentity

_BOTH = "serverAuth,clientAuth"


class Members:
    """Who has a certificate of one authority; all are kept in `folder` under the names that the platform uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = Authority(folder)
        (folder / "ca.pem").symlink_to(self._authority.file)

    def gateway(self) -> TlsIdentity:
        """Those of the gateway."""
        return self._issue("URI:aicp://gateway", "gateway")

    def control(self) -> TlsIdentity:
        """Those of the control plane."""
        return self._issue("URI:aicp://control,DNS:control.aicp", "control")

    def node(self, node_id: str) -> TlsIdentity:
        """Those of a node, for itself and what is on it."""
        name = node_name(node_id)
        return self._issue(f"URI:aicp://node/{node_id},DNS:{name},DNS:*.{name}", node_id)

    def _issue(self, names: str, name: str) -> TlsIdentity:
        self._authority.issue(names, name, _BOTH)
        return TlsIdentity.kept(self.folder, name)
