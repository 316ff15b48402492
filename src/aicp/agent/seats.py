"""What a member of a replica that spans nodes is told of the others, in the words of a launch spec."""

from __future__ import annotations

import socket

import psutil

from aicp.core.errors import UnavailableError
from aicp.core.launch import GroupSeat


def mark_of(replica_id: str, seat: GroupSeat | None) -> str:
    """By what the processes and limits of a member are known on its machine, which may run the agents of two nodes."""
    return replica_id if seat is None else f"{replica_id}-{seat.rank}"


def seat_values(seat: GroupSeat | None) -> dict[str, str]:
    """The placeholders of a member; none for a replica of one node.

    Raises UnavailableError where no network interface of this machine has the address by which others reach it: an
    engine would then listen on all of them.
    """
    if seat is None:
        return {}
    host, interface = _own_interface(seat.host)
    return {
        "rank": str(seat.rank),
        "leader": _numeric(seat.leader),
        "group_port": str(seat.port),
        "address": host,
        "interface": interface,
    }


def _own_interface(host: str) -> tuple[str, str]:
    """The address in numbers, and the interface that has it."""
    wanted = _numeric(host)
    for name, addresses in psutil.net_if_addrs().items():
        if any(item.address.partition("%")[0] == wanted for item in addresses):
            return wanted, name
    raise UnavailableError(
        f"No network interface of this machine has the address {host}, by which other nodes are to reach it.",
        hint="Join the node with `--address` and an address of one of its interfaces, or keep replicas that span "
        "nodes off it.",
    )


def _numeric(host: str) -> str:
    """Raises UnavailableError for a name that nobody knows."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise UnavailableError(
            f"The name {host} of a node is not known on this machine: {error.strerror}.",
            hint="Give its machine a name in DNS, or join the node with `--address` and an IP address.",
        ) from error
