"""How a process of the platform is reached, by whatever kind of address it has."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx

from aicp.core.errors import UnavailableError
from aicp.core.mutual import is_mutual, parse_mutual


def reach(address: str, tls: Callable[[], ssl.SSLContext] | None = None) -> tuple[str, httpx.AsyncHTTPTransport | None]:
    """The base URL and the transport for `unix:/path`, `mtls://NAME@HOST:PORT` or a URL; None: the usual transport.

    `tls` gives what to prove oneself with, for `mtls:` alone. Raises UnavailableError without it or where it raises
    OSError, ValueError for what is no address.
    """
    if address.startswith("unix:"):
        return "http://aicp", httpx.AsyncHTTPTransport(uds=address.removeprefix("unix:"))
    if not is_mutual(address):
        return address, None
    place = parse_mutual(address)
    if tls is None:
        raise UnavailableError(f"{address} wants a certificate of the platform, and this process has none.")
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"https://{host}:{place.port}", _Named(place.name, tls)


class _Named(httpx.AsyncHTTPTransport):
    """Asks for a name, and believes no other, wherever it connects to."""

    def __init__(self, name: str, tls: Callable[[], ssl.SSLContext]) -> None:
        self._name = name
        self._tls = tls
        super().__init__(verify=self._read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """httpx: one request."""
        self._read()  # a certificate that was renewed is taken up by the same context
        request.extensions = {**request.extensions, "sni_hostname": self._name}
        return await super().handle_async_request(request)

    def _read(self) -> ssl.SSLContext:
        try:
            return self._tls()
        except OSError as error:
            raise UnavailableError(
                f"The certificate for connections between nodes cannot be read ({error}).",
                hint="The control plane makes it when it starts with AICP_CLUSTER_ADDRESS; a node gets it as it joins.",
            ) from error
