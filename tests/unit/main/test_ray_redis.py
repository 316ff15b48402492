"""What is said of a Redis that cannot keep the state of Ray's head."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aicp.core.errors import UnavailableError
from aicp.main.ray_redis import check_redis


@contextmanager
def answering(words: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """The port of one who says `words` to the first who asks, and what it heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as wire:
                heard.append(wire.recv(4096))
                wire.sendall(words)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], heard
        thread.join(5)


def test_the_password_is_said_as_it_is_meant():
    with answering(b"+OK\r\n") as (port, heard):
        check_redis(f"redis://:s%2Fcret@127.0.0.1:{port}", None)
    assert heard == [b"*2\r\n$4\r\nAUTH\r\n$6\r\ns/cret\r\n"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"-WRONGPASS invalid password\r\n", "WRONGPASS"), (b"", "closed the connection"), (b"HTTP/1.1 400\r\n", "HTTP")],
)
def test_one_that_refuses_is_explained(answer: bytes, said: str):
    with answering(answer) as (port, _), pytest.raises(UnavailableError, match=said):
        check_redis(f"redis://:word@127.0.0.1:{port}", None)


def test_one_that_is_not_there_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}.*refused"):
        check_redis(f"redis://:word@127.0.0.1:{port}", None)
