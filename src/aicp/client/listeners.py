"""Listeners of models, ports, and the gateway processes."""

from __future__ import annotations

from aicp.client.transport import Transport
from aicp.core.gateway import GatewayStatus
from aicp.core.listener import Listener, ListenerSet, Port


class Listeners:
    """Addresses of single models; the gateway's own address serves all of them besides."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> list[Listener]:
        """Those of models that the caller's projects may use, and whether they are open."""
        return self._transport.every("/api/v1/listeners", Listener)

    def set(self, model: str, wanted: ListenerSet) -> Listener:
        """Gives a service or route an address of its own."""
        answer = self._transport.send("PUT", f"/api/v1/listeners/{model}", body=wanted)
        return Listener.model_validate_json(answer.content)

    def delete(self, model: str) -> None:
        """Takes a model's own address away."""
        self._transport.delete(f"/api/v1/listeners/{model}")

    def ports(self) -> list[Port]:
        """Ports that the platform uses or that are reserved, by number."""
        return self._transport.every("/api/v1/ports", Port)

    def gateways(self) -> list[GatewayStatus]:
        """Gateway processes that live, those that leave among them."""
        return self._transport.every("/api/v1/gateways", GatewayStatus)
