"""Names that resolve to another address when they are connected to."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from aicp.core.errors import MalformedError
from aicp.security import connections
from aicp.security.connections import checked_connections


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """name -> the addresses that it resolves to."""
    names: dict[str, list[str]] = {}

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in names[host]]

    with checked_connections(()):
        monkeypatch.setattr(connections, "_system", resolve)
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)
    return names


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["169.254.169.254"]])
def test_a_private_address_is_not_connected_to(names: dict[str, list[str]], addresses: list[str]) -> None:
    names["hub.example"] = addresses
    with checked_connections(()), pytest.raises(MalformedError) as caught:
        socket.create_connection(("hub.example", 1), timeout=0.1)
    assert caught.value.code == "url_not_allowed"


def test_public_and_listed_addresses_are(names: dict[str, list[str]]) -> None:
    names |= {"public.example": ["93.184.216.34"], "mirror.lan": ["10.0.0.1"]}
    with checked_connections(("mirror.lan",)):
        assert socket.getaddrinfo("public.example", 1)[0][4] == ("93.184.216.34", 1)
        assert socket.getaddrinfo("mirror.lan", 1)[0][4] == ("10.0.0.1", 1)
    with checked_connections(("10.0.0.0/8",)):
        assert socket.getaddrinfo("mirror.lan", 1)


def test_only_the_block_and_its_thread_are_checked(names: dict[str, list[str]]) -> None:
    names["own.lan"] = ["10.0.0.1"]
    seen: list[Any] = []
    with checked_connections(()):
        other = threading.Thread(target=lambda: seen.extend(socket.getaddrinfo("own.lan", 1)))
        other.start()
        other.join()
    assert seen
    assert socket.getaddrinfo("own.lan", 1)


def test_the_administrators_proxy_may_be_anywhere(names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    names["proxy.lan"] = ["10.0.0.1"]
    for address in ("http://proxy.lan:3128", "proxy.lan:3128"):
        monkeypatch.setenv("https_proxy", address)
        with checked_connections(()):
            assert socket.getaddrinfo("proxy.lan", 3128)
    names["inside.lan"] = ["10.0.0.2"]
    monkeypatch.setenv("no_proxy", "inside.lan")
    with checked_connections(()), pytest.raises(MalformedError):
        socket.getaddrinfo("inside.lan", 80)
