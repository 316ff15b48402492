"""Which addresses the platform may fetch from on a user's behalf.

Without this a user could make the platform read what only the platform reaches (server-side request forgery): the
cloud's metadata service, an internal web page, another tenant's engine. The name is resolved once, every address it has
must be allowed, and the caller connects to the very address that was checked (a second look-up could answer
differently). Each redirect is checked the same way.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from aicp.core.errors import MalformedError

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives all IP addresses of a host name."""

MAX_REDIRECTS = 3
_CODE = "url_not_allowed"
# Metadata services of the large clouds; never allowed, whatever the administrator lists.
_METADATA_NETWORKS = tuple(
    ip_network(text)
    for text in (
        "169.254.169.254/32",
        "169.254.170.2/32",
        "169.254.170.23/32",
        "169.254.0.23/32",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "168.63.129.16/32",
        "fd00:ec2::254/128",
        "fd00:ec2::23/128",
        "fd20:ce::254/128",
        "fe80::a9fe:a9fe/128",
    )
)
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
# Not routed to anyone in public, yet not all called private by `ipaddress`: carrier-grade NAT (RFC 6598), the relay
# anycast prefix (RFC 7526), benchmarks, documentation, discard-only and site-local.
_SPECIAL_NETWORKS = tuple(
    ip_network(text)
    for text in ("100.64.0.0/10", "192.88.99.0/24", "198.18.0.0/15", "100::/64", "fec0::/10", "3fff::/20", "5f00::/16")
)
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")


@dataclass(frozen=True, slots=True)
class AllowedUrl:
    """A checked URL and the one address to connect to.

    With httpx: `client.get(allowed.pinned, headers={"Host": allowed.authority},
    extensions={"sni_hostname": allowed.host})`, redirects off.
    """

    url: str
    scheme: str
    host: str
    port: int
    address: str

    @property
    def authority(self) -> str:
        """The Host header that the server expects."""
        return urlsplit(self.url).netloc

    @property
    def pinned(self) -> str:
        """The URL with the checked address in the place of the name."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return urlsplit(self.url)._replace(netloc=f"{address}:{self.port}").geturl()


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Asks the machine's resolver, off the event loop."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def resolve_allowed(
    url: str, allowed_networks: Sequence[str] = (), resolver: Resolver = system_resolver
) -> AllowedUrl:
    """Checks `url` and gives the address to connect to.

    `allowed_networks`: host names, addresses and CIDR blocks that the administrator opened although they are private.
    Raises MalformedError with code `url_not_allowed` and the reason.
    """
    parts, port = _parse(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if host in _METADATA_NAMES:
        raise _refusal(url, "it is a cloud's metadata service")
    try:
        addresses = [ip_address(text.partition("%")[0]) for text in await resolver(host, port)]
    except (OSError, UnicodeError, ValueError) as error:
        raise _refusal(url, f"the name {host!r} does not resolve") from error
    if not addresses:
        raise _refusal(url, f"the name {host!r} has no address")
    for address in addresses:
        reason = refuse_address(address, host, allowed_networks)
        if reason is not None:
            raise _refusal(url, reason)
    return AllowedUrl(url, parts.scheme, host, port, str(addresses[0]))


def refuse_address(address: Address, host: str, allowed_networks: Sequence[str] = ()) -> str | None:
    """Why `address` (of `host`) may not be connected to; None when it may."""
    meant = _unwrap(address)
    if any(candidate in network for candidate in (address, meant) for network in _METADATA_NETWORKS):
        return "it is a cloud's metadata service"
    # An address that wraps an IPv4 one is a detour; no public host needs it.
    if meant == address and _is_public(address):
        return None
    if _is_listed(address, host, allowed_networks):
        return None
    return f"{host!r} is at the private or reserved address {address}"


def _parse(url: str) -> tuple[SplitResult, int]:
    # Parsers differ on these characters; what one takes for a path another takes for a host.
    if "\\" in url or any(character <= " " or character == "\x7f" for character in url):
        raise _refusal(url, "it has a backslash, a space or a control character")
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise _refusal(url, "it is not a valid address") from error
    if parts.scheme not in ("http", "https"):
        raise _refusal(url, "only http and https are fetched")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise _refusal(url, "it has a user name in it")
    if not parts.hostname or "%" in parts.netloc:
        raise _refusal(url, "it names no host")
    return parts, port


def _unwrap(address: Address) -> Address:
    """The IPv4 address inside a mapped, compatible, 6to4, Teredo or NAT64 address; else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and (address in _COMPATIBLE or any(address in network for network in _NAT64)):
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def _is_public(address: Address) -> bool:
    if any(address in network for network in _SPECIAL_NETWORKS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _is_listed(address: Address, host: str, allowed_networks: Sequence[str]) -> bool:
    for entry in allowed_networks:
        try:
            if address in ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            if entry.strip().rstrip(".").lower() == host:
                return True
    return False


def _refusal(url: str, reason: str) -> MalformedError:
    shown = url.partition("?")[0]
    if "@" in shown:
        shown = "the address"
    return MalformedError(
        f"{shown[:200]!r} may not be fetched: {reason}.",
        code=_CODE,
        hint="A private mirror can be opened by the administrator with the setting import_allowed_networks.",
    )
