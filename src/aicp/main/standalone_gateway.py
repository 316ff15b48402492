"""Builds and runs a gateway without a platform, for the keeper in `standalone`, with which it ends."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import uvloop

from aicp.core.clock import SystemClock
from aicp.core.errors import AicpError, InvalidError
from aicp.gateway.body_file import BodyFile
from aicp.gateway.books import Books
from aicp.gateway.config import GatewayConfig, MediaRules, SharingRules
from aicp.gateway.file_config import FileConfig, read_config, table_of
from aicp.gateway.server import serve
from aicp.gateway.slots import take_slot
from aicp.main.otel import trace_rules
from aicp.main.preflight import check_port, ensure_token
from aicp.main.settings import environment, is_loopback
from aicp.main.succession import former_of
from aicp.security.keys import load_pepper
from aicp.security.redaction import redact
from aicp.telemetry.logs import configure_logs
from aicp.telemetry.processes import end_with_parent

_WRONG = 78


def main(arguments: list[str]) -> int:
    """Runs until a signal; the exit status, 78 when the file is wrong. The second argument is the keeper's pid."""
    keeper = int(arguments[1])
    end_with_parent(keeper)
    try:
        return _run(Path(arguments[0]).absolute(), keeper)
    except AicpError as error:
        sys.stderr.write(f"aicp: {error.message}\n" + (f"aicp: {error.hint}\n" if error.hint else ""))
        return _WRONG
    except KeyboardInterrupt:
        return 130


def _run(file: Path, keeper: int) -> int:
    config = read_config(file, environment())
    listen = config.listen
    _check_listen(config)
    directory = file.parent / config.directory
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    configure_logs("gateway", level="INFO", redact=redact)
    try:
        pepper = load_pepper(directory / "pepper")
    except ValueError as error:
        raise InvalidError(str(error)) from error
    takes_over, ready = former_of(environment())
    if takes_over is None:
        check_port(listen.host, listen.port, "listen.port")
    slot = take_slot(directory)

    def books_of(place: Path, home: Path | None = None) -> Books:
        bodies = _bodies(config, place)
        return Books(
            place, file, lambda: table_of(read_config(file, environment()), pepper), SystemClock(), bodies, home=home
        )

    books = books_of(slot.directory, directory)
    gateway = GatewayConfig(
        host=listen.host,
        port=listen.port,
        directory=directory,
        control_url="",
        internal_token=ensure_token(directory / "metrics.token"),
        tls_certificate=file.parent / listen.tls_certificate if listen.tls_certificate else None,
        tls_key=file.parent / listen.tls_key if listen.tls_key else None,
        takes_over=takes_over,
        ready_descriptor=ready,
        media=MediaRules(config.media.fetch, tuple(config.media.allowed_networks)),
        sharing=SharingRules(config.coordinator, config.limits_without_coordinator == "refuse"),
        traces=trace_rules(environment()),
    )
    restart = partial(os.kill, keeper, signal.SIGUSR2)
    uvloop.run(serve(gateway, books, slot=slot, keeper_of=books_of, restart=restart))
    return 0


def _bodies(config: FileConfig, directory: Path) -> BodyFile | None:
    """Where bodies of requests are written down; who adds a request log to the file starts the gateway again."""
    log = config.request_log
    return None if log is None else BodyFile(directory / log.file, most_bytes=log.max_file_bytes, files=log.files)


def _check_listen(config: FileConfig) -> None:
    listen = config.listen
    if (listen.tls_certificate is None) != (listen.tls_key is None):
        raise InvalidError("listen.tls_certificate and listen.tls_key belong together; the file has one of them.")
    if not is_loopback(listen.host) and listen.tls_certificate is None and not listen.insecure:
        raise InvalidError(
            f"Keys would cross the network in the clear: {listen.host} is beyond this machine and there is no TLS.",
            hint="Set listen.tls_certificate and listen.tls_key, or listen.insecure: true.",
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
