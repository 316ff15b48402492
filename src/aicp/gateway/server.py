"""The gateway's process: its objects built, its loops started, served until a signal, drained."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import resource
import signal
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from aicp.client.internal import InternalClient
from aicp.core.clock import Clock, SystemClock
from aicp.core.errors import AicpError
from aicp.core.ids import new_id
from aicp.gateway import COMPILED
from aicp.gateway.admission import Admission
from aicp.gateway.cache_events import Listening
from aicp.gateway.client_connection import ClientConnection
from aicp.gateway.config import GatewayConfig
from aicp.gateway.following import Control, Following
from aicp.gateway.gateway import Gateway
from aicp.gateway.live import Connections
from aicp.gateway.media import Fetcher
from aicp.gateway.metrics import Metrics
from aicp.gateway.present import Present
from aicp.gateway.relay import Relay
from aicp.gateway.requests import RequestIds
from aicp.gateway.routes import Routes
from aicp.gateway.sharing import make_sharing
from aicp.gateway.shipping import Counter, Shipping
from aicp.gateway.site import Site
from aicp.gateway.span_export import SpanExport
from aicp.gateway.totals import Teller, TotalsKeeper
from aicp.gateway.usage import UsageLog

log = logging.getLogger(__name__)

_BACKLOG = 1024
_OTHER_DESCRIPTORS = 256
_PLENTY = 1 << 20
_NEW_OBJECTS = 20_000
_SWEEP_SECONDS = 1.0
_GO_ON_SECONDS = 0.5
_LAST_SHIPMENT_SECONDS = 3.0


class Superior(Control, Counter, Teller, Protocol):
    """Who gives tables, counts usage and knows totals: the control plane, or a file."""

    async def close(self) -> None:
        """Gives connections back."""
        ...


async def serve(config: GatewayConfig, superior: Superior | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then lets requests in flight end. Raises OSError when it cannot listen.

    `superior` None is the control plane that `config` names.
    """
    config.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    process = _Process(config, SystemClock(), superior or _control_plane(config))
    await process.start()
    # requests make no reference cycles: looking for some every few hundred objects costs a tenth of the processor
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 20, 50)
    try:
        await stop.wait()
    finally:
        await process.stop()


class _Process:
    def __init__(self, config: GatewayConfig, clock: Clock, superior: Superior) -> None:
        self._config, self._clock = config, clock
        self._most = min(most_requests(_take_descriptors()), config.limits.connections)
        directory = config.directory
        gateway_id = _gateway_id(directory / "gateway.id")
        self._control = superior
        self._usage = UsageLog(directory)
        self._sharing = make_sharing(config.sharing, config.directory, clock)
        self._routes = Routes(directory / "routes.json", self._sharing.accounts, self._sharing.budgets)
        self._totals = TotalsKeeper(directory, (self._routes.accounts, self._routes.budgets), gateway_id, self._control)
        self._shipping = Shipping(directory, self._usage, gateway_id, self._control, self._totals.needs)
        metrics, token = Metrics(), config.internal_token
        site = Site(self._usage, metrics, clock, random.random, config.limits)
        self._admission = Admission(clock, _alarm, metrics.waits)
        self._routes.observe(self._admission.follow)
        self._listening = Listening(self._routes)
        books = self._routes.accounts, self._routes.budgets
        self._present = Present(metrics, self._admission.loads, *books, clock)
        self._following = Following(self._routes, self._control, gateway_id, clock, self._present.report)
        self._spans = None if config.traces is None else SpanExport(config.traces, gateway_id, clock)
        fetcher = Fetcher(config.media) if config.media.fetch else None
        relay = Relay(superior, site.limits) if isinstance(superior, InternalClient) else None
        tracer = None if self._spans is None else self._spans.tracer
        self._gateway = Gateway(
            site, self._routes, self._admission, token, self._gauges, RequestIds(), fetcher, relay, tracer
        )
        self._live = Connections()
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        config, loop = self._config, asyncio.get_running_loop()
        kept = self._routes.load()
        self._totals.load()
        tls = _server_tls(config.tls_certificate, config.tls_key)
        self._server = await loop.create_server(
            lambda: ClientConnection(self._gateway, self._live, loop),
            config.host,
            config.port,
            backlog=_BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=config.limits.header_seconds if tls else None,
        )
        jobs = [
            self._following.follow,
            self._following.beat,
            self._following.keep,
            self._totals.run,
            self._shipping.run,
            self._shipping.keep_on_disk,
            self._listening.run,
            partial(self._routes.caches.run, lambda: self._clock.now().timestamp()),
            self._sweep,
            *(() if self._spans is None else (self._spans.queue.run,)),
        ]
        leases = self._sharing.leases
        jobs += [] if leases is None else [leases.run]
        self._tasks = [loop.create_task(for_ever(job)) for job in jobs]
        if self._usage.problem is not None:
            log.error("usage cannot be recorded, so nothing is served until it can: %s", self._usage.problem)
        if not COMPILED:
            log.info("running from sources: slower than in compiled form, which `make compiled` builds")
        log.info(
            "serving on %s:%d, up to %d requests at once%s",
            config.host,
            config.port,
            self._most,
            ", with the last route table" if kept else "",
        )

    async def stop(self) -> None:
        log.info("draining %d connections", len(self._live))
        if self._server is not None:
            self._server.close()
        for connection in list(self._live):
            connection.drain()
        self._admission.drain()
        if self._live:
            self._live.empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._live.empty.wait(), self._config.limits.drain_seconds)
        for connection in list(self._live):
            connection.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sharing.leases is not None:
            await self._sharing.leases.close()
        with suppress(AicpError, OSError):
            async with asyncio.timeout(_LAST_SHIPMENT_SECONDS):
                await self._shipping.ship()  # what waited
                await self._shipping.ship()  # what has ended since
        if self._spans is not None:
            await self._spans.close()
        self._usage.close()
        await self._control.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self._clock.monotonic()
            for connection in list(self._live):
                connection.check(now)
            self._present.look(now)

    def _gauges(self) -> dict[str, float]:
        spans = None if self._spans is None else self._spans.queue
        return {
            "spans_exported_total": 0 if spans is None else spans.exported,
            "spans_dropped_total": 0 if spans is None else spans.dropped,
            "connections": len(self._live),
            "requests_most": self._most,
            "usage_segments_waiting": self._shipping.waiting(),
            "usage_writable": float(self._usage.problem is None),
            "route_table_kept": float(self._following.kept),
            "compiled": float(COMPILED),
            "control_silent_seconds": self._clock.monotonic() - self._following.heard_at,
            **self._sharing.gauges(),
        }


def _control_plane(config: GatewayConfig) -> InternalClient:
    return InternalClient(config.control_url, config.internal_token, certificate=config.control_certificate)


async def for_ever(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Starts a job again when it fails of what it does not expect: without its jobs a gateway grows old in silence."""
    while True:
        try:
            await job()
        except Exception:
            log.exception("a part of the gateway failed and goes on: %s", getattr(job, "__qualname__", job))
        await asyncio.sleep(_GO_ON_SECONDS)


def most_requests(descriptors: int) -> int:
    """How many requests at once so many file descriptors carry: two each."""
    return _PLENTY if descriptors == resource.RLIM_INFINITY else max((descriptors - _OTHER_DESCRIPTORS) // 2, 1)


def _take_descriptors() -> int:
    """Takes all file descriptors that the system allows; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _alarm(seconds: float, ring: Callable[[], None]) -> Callable[[], None]:
    return asyncio.get_running_loop().call_later(seconds, ring).cancel


def _gateway_id(path: Path) -> str:
    """The id under which this directory's batches are counted; made at the first start."""
    with suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if kept:
            return kept
    fresh = new_id("gw")
    unfinished = path.with_name(f".{path.name}.new")
    with unfinished.open("w") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return fresh


def _server_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
