"""What a joined machine keeps of its membership in Ray, and how it gets new papers when the platform's are others."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from pathlib import Path

from aicp.client.joins import renew_ray_papers
from aicp.core.clock import SystemClock
from aicp.core.errors import AicpError, InvalidError, UnauthorizedError
from aicp.core.join import RayAdmission
from aicp.core.ray_member import RayMember
from aicp.main.joined_state import read_state
from aicp.security.authority import needs_renewal
from aicp.security.ray_trust import RayPapers

MEMBERSHIP = "membership.json"
"""What the answer to a join said of Ray: head, own address, node id, seconds of patience."""
_LOOK_SECONDS = 4.0


def become_member(directory: Path, ray: RayAdmission, node_id: str) -> None:
    """Writes down what makes this machine a member."""
    RayPapers(ray.authority, ray.certificate, ray.key, ray.token).write(directory)
    write_membership(RayMember(directory, ray.head, ray.address), node_id, ray.reconnect_seconds)


def renew_membership(data_dir: Path, member: RayMember, node_id: str) -> bool:
    """Asks the platform whether its Ray has other papers, and writes them; whether that was so. Raises AicpError,
    OSError, ValueError."""
    state = read_state(data_dir)
    if state is None:
        return False
    tls = state.membership(data_dir).credentials.client
    # a certificate that ends some day is replaced long before, as if its authority were another one
    ends = needs_renewal(member.certificate, SystemClock().now())
    papers = asyncio.run(renew_ray_papers(state.control_url(), tls, "" if ends else member.authority.read_text()))
    if papers is not None:
        become_member(member.directory, papers, node_id)
    return papers is not None


def watch_membership(data_dir: Path, member: RayMember, node_id: str, renewed: threading.Event) -> None:
    """For good: sets `renewed` whenever new papers were written. A platform that does not answer is asked again."""
    waits, told = threading.Event(), ""
    while True:
        waits.wait(_LOOK_SECONDS)
        try:
            if renew_membership(data_dir, member, node_id):
                renewed.set()
            told = ""
        except (AicpError, OSError, ValueError) as error:
            if isinstance(error, UnauthorizedError) and str(error) != told:
                told = str(error)
                sys.stderr.write(f"aicp: {told}\n")
                sys.stderr.flush()


def read_membership(directory: Path) -> tuple[RayMember, str, int]:
    """The membership, the node's id, and the seconds of patience. Raises InvalidError when it is not whole."""
    path = directory / MEMBERSHIP
    try:
        said = json.loads(path.read_text())
        member = RayMember(directory, str(said["head"]), str(said["address"]))
        return member, str(said["node_id"]), int(said["reconnect_seconds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidError(
            f"{path} does not say where Ray's head is ({error}).", hint="Join the platform again: aicp node join."
        ) from error


def write_membership(member: RayMember, node_id: str, reconnect_seconds: int) -> None:
    """The way to `read_membership`."""
    said = {"head": member.head, "address": member.address, "node_id": node_id, "reconnect_seconds": reconnect_seconds}
    member.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = member.directory / f".{MEMBERSHIP}.new"
    unfinished.write_text(json.dumps(said))
    unfinished.replace(member.directory / MEMBERSHIP)
