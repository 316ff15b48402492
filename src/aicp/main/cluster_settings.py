"""Settings about further machines that join the platform."""

from __future__ import annotations

from aicp.main.setting import Setting


def address(text: str) -> str:
    """HOST:PORT, or empty."""
    if text:
        split_address(text)
    return text


def split_address(text: str) -> tuple[str, int]:
    """Host and port. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError("write HOST:PORT, for example 10.0.0.1:8609")
    return host.removeprefix("[").removesuffix("]"), int(port)


def lease(text: str) -> float:
    """Seconds, 10 to a day."""
    seconds = float(text)
    if not 10 <= seconds <= 24 * 3600:
        raise ValueError("write seconds from 10 to 86400")
    return seconds


CLUSTER_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "cluster_address",
        address,
        "",
        "Address (HOST:PORT) at which further machines join and nodes fetch model files, by mutual TLS. Empty: closed, "
        "the platform stays on this machine.",
    ),
    Setting(
        "node_lease_seconds",
        lease,
        "300",
        "For how long a joined node goes on serving without hearing from the control plane; then it stops its engines. "
        "What a silent node held is given to others only after that.",
    ),
)
