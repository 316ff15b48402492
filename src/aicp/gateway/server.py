"""The gateway's process: its objects built, its loops started, served until a signal, drained."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import resource
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from errno import EADDRINUSE
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from aicp import __version__
from aicp.client.internal import InternalClient
from aicp.core.clock import Clock, SystemClock
from aicp.core.errors import AicpError
from aicp.gateway import COMPILED
from aicp.gateway.admission import Admission
from aicp.gateway.body_segments import BodySegments
from aicp.gateway.body_shipping import Archive, BodyShipping
from aicp.gateway.cache_events import Listening
from aicp.gateway.client_connection import ClientConnection
from aicp.gateway.config import GatewayConfig
from aicp.gateway.demand import Demand
from aicp.gateway.doors import Doors
from aicp.gateway.following import Control, Following
from aicp.gateway.gateway import Gateway
from aicp.gateway.handover import Offer, Taken, take_over
from aicp.gateway.leftovers import Keeper, Leftovers
from aicp.gateway.listeners import Listeners, server_tls
from aicp.gateway.live import Connections
from aicp.gateway.media import Fetcher
from aicp.gateway.metrics import Metrics
from aicp.gateway.present import Present
from aicp.gateway.relay import Relay
from aicp.gateway.request_log import RequestLog
from aicp.gateway.requests import RequestIds
from aicp.gateway.routes import Routes, Table
from aicp.gateway.sharing import make_sharing
from aicp.gateway.shipping import Counter, Shipping
from aicp.gateway.site import Site
from aicp.gateway.sleepers import Sleepers
from aicp.gateway.slots import Slot, newest, take_slot
from aicp.gateway.span_export import SpanExport
from aicp.gateway.totals import Teller, TotalsKeeper
from aicp.gateway.usage import UsageLog

log = logging.getLogger(__name__)

_OTHER_DESCRIPTORS = 256
_PLENTY = 1 << 20
_NEW_OBJECTS = 20_000
_SWEEP_SECONDS = 1.0
_GO_ON_SECONDS = 0.5
_LAST_SHIPMENT_SECONDS = 3.0
_CATCH_UP_SECONDS = 3.0


class Superior(Control, Counter, Teller, Archive, Protocol):
    """Who gives tables, counts usage, knows totals and keeps bodies: the control plane, or a file."""

    async def close(self) -> None:
        """Gives connections back."""
        ...


async def serve(
    config: GatewayConfig,
    superior: Superior | None = None,
    *,
    slot: Slot | None = None,
    keeper_of: Callable[[Path], Keeper] | None = None,
    restart: Callable[[], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, or until another process has taken over; then lets requests in flight end.

    Raises OSError when it cannot listen. `superior` None is the control plane of `config`, `slot` None the first
    free place in the directory. `keeper_of` is who takes what ended processes left; `restart` has another process
    take over, at SIGHUP or SIGUSR2.
    """
    config.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    stop, left = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for number in (signal.SIGHUP, signal.SIGUSR2):
        loop.add_signal_handler(number, restart or _nobody_restarts)
    process = _Process(config, SystemClock(), superior or _control_plane(config), slot or take_slot(config.directory))
    await process.start(left.set, keeper_of)
    # requests make no reference cycles: looking for some every few hundred objects costs a tenth of the processor
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 20, 50)
    try:
        await _first_of(stop, left)
        if left.is_set():
            await process.leave(stop)
    finally:
        await process.stop()


class _Process:
    def __init__(self, config: GatewayConfig, clock: Clock, superior: Superior, slot: Slot) -> None:
        self._config, self._clock, self._slot = config, clock, slot
        self._most = min(most_requests(_take_descriptors()), config.limits.connections)
        directory, gateway_id = slot.directory, slot.gateway_id
        self._control = superior
        self._usage = UsageLog(directory)
        self._sharing = make_sharing(config.sharing, config.directory, clock)
        self._routes = Routes(directory / "routes.json", self._sharing.accounts, self._sharing.budgets, config.cluster)
        self._totals = TotalsKeeper(directory, (self._routes.accounts, self._routes.budgets), gateway_id, self._control)
        self._shipping = Shipping(directory, self._usage, gateway_id, self._control, self._totals.needs)
        metrics, token = Metrics(), config.internal_token
        site = Site(self._usage, metrics, clock, random.random, config.limits)
        self._admission = Admission(clock, _alarm, metrics.waits)
        self._listening = Listening(self._routes)
        books = self._routes.accounts, self._routes.budgets
        self._present = Present(metrics, self._admission.loads, *books, clock)
        self._following = Following(self._routes, self._control, gateway_id, clock, self._present.report, self._facts)
        self._sleepers = Sleepers(clock)
        self._sleepers.hurry = self._following.hurry
        self._demand = Demand(self._routes, metrics, self._admission.loads, self._sleepers, clock)
        self._spans = None if config.traces is None else SpanExport(config.traces, gateway_id, clock)
        fetcher = Fetcher(config.media) if config.media.fetch else None
        relay = Relay(superior, site.limits) if isinstance(superior, InternalClient) else None
        tracer = None if self._spans is None else self._spans.tracer
        self._segments = BodySegments(directory)
        self._request_log = RequestLog(self._segments, clock, random.random)
        self._bodies = BodyShipping(self._segments, gateway_id, self._control)
        self._gateway = Gateway(
            site,
            self._routes,
            self._admission,
            token,
            self._gauges,
            RequestIds(),
            fetcher,
            relay,
            tracer,
            self._request_log,
            sleepers=self._sleepers,
        )
        self._live = Connections()
        self._doors = Doors(shared=config.shared, handshake_seconds=config.limits.header_seconds)
        self._listeners = Listeners(self._doors, self._factory_of, self._live)
        self._routes.observe(self._new_table)
        self._offer: Offer | None = None
        self._private: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, leave: Callable[[], None], keeper_of: Callable[[Path], Keeper] | None) -> None:
        config, loop, slot = self._config, asyncio.get_running_loop(), self._slot
        kept = self._routes.load(newest(slot, "routes.json"))
        self._totals.load(newest(slot, "totals.json"))
        taken = None if config.takes_over is None else take_over(slot, pid=config.takes_over)
        if taken is not None:
            await self._catch_up()
        taken = await self._open(taken)
        leftovers = Leftovers(slot, keeper_of or (lambda directory: self._control))
        jobs = [
            self._following.follow,
            self._following.beat,
            self._following.keep,
            self._totals.run,
            self._shipping.run,
            self._shipping.keep_on_disk,
            self._listening.run,
            partial(self._routes.caches.run, lambda: self._clock.now().timestamp()),
            self._request_log.run,
            self._bodies.run,
            self._listeners.run,
            leftovers.run,
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
            "serving on %s:%d, up to %d requests at once%s%s",
            config.host,
            config.port,
            self._most,
            ", with the last route table" if kept else "",
            "" if taken is None else f", in the place of process {taken.pid}",
        )
        self._offer = Offer(slot, self._doors.sockets, leave)
        self._offer.open()
        if taken is not None:
            taken.ready()
        _tell_ready(config.ready_descriptor)

    async def leave(self, stop: asyncio.Event) -> None:
        """Another process accepts: what is in flight here ends as it would, however long that takes."""
        limits, loop = self._config.limits, asyncio.get_running_loop()
        self._live.leaving = True
        self._close_doors()
        for connection in list(self._live):
            connection.leave()
        log.info("another process has taken over; %d connections end here", len(self._live))
        deadline = loop.time() + limits.handover_seconds
        # some that were accepted may not be seen yet: their handshake is under way
        await _first_of(stop, seconds=limits.leave_idle_seconds)
        while self._live and not stop.is_set() and loop.time() < deadline:
            self._live.empty.clear()
            await _first_of(stop, self._live.empty, seconds=deadline - loop.time())

    async def stop(self) -> None:
        log.info("draining %d connections", len(self._live))
        self._close_doors()
        for connection in list(self._live):
            connection.drain()
        self._admission.drain()
        self._sleepers.drain()
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
        await self._last_bodies()
        self._usage.close()
        await self._control.close()
        self._slot.free()

    async def _catch_up(self) -> None:
        """A process that takes over begins with what its former one knows: a revoked key stays revoked."""
        try:
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                await self._following.first()
                await self._totals.refresh()
        except (AicpError, ValueError, TimeoutError) as error:
            log.warning("beginning with the kept route table: %s", error)

    async def _open(self, taken: Taken | None) -> Taken | None:
        """Listens, on the sockets of a former process where there are; answers who that is."""
        config = self._config
        address, tls = (config.host, config.port), server_tls(config.tls_certificate, config.tls_key)
        if taken is not None:
            self._doors.given = taken.sockets
        try:
            await self._doors.open(address, self._connection, tls)
        except OSError as error:
            # one of this platform whose supervisor has lost sight of it
            taken = take_over(self._slot, address=address) if taken is None and error.errno == EADDRINUSE else None
            if taken is None:
                raise
            self._doors.given = taken.sockets
            await self._doors.open(address, self._connection, tls)
        await self._listeners.settle()
        if taken is not None:
            taken.close_rest()
        path = self._slot.directory / "metrics.sock"
        try:
            path.unlink(missing_ok=True)
            self._private = await asyncio.get_running_loop().create_unix_server(self._connection, str(path))
            path.chmod(0o600)
        except OSError as error:  # its path is too long for a socket, maybe
            log.warning("the figures of this process alone are not served at %s: %s", path, error)
        return taken

    def _close_doors(self) -> None:
        self._listeners.end()
        self._doors.close_all()
        if self._offer is not None:
            self._offer.close()
        if self._private is not None:
            self._private.close()
            self._private = None
            (self._slot.directory / "metrics.sock").unlink(missing_ok=True)

    def _connection(self) -> ClientConnection:
        return ClientConnection(self._gateway, self._live, asyncio.get_running_loop())

    def _factory_of(self, model: str) -> Callable[[], ClientConnection]:
        gateway, loop = replace(self._gateway, only=model), asyncio.get_running_loop()
        return lambda: ClientConnection(gateway, self._live, loop)

    def _new_table(self, table: Table) -> None:
        self._admission.follow(table)
        self._sleepers.follow(table)
        self._listeners.follow(table)

    async def _last_bodies(self) -> None:
        """What was not written yet is; what is not taken now waits on the disk."""
        await self._request_log.write(_LAST_SHIPMENT_SECONDS)
        with suppress(AicpError, OSError):
            async with asyncio.timeout(_LAST_SHIPMENT_SECONDS):
                await self._bodies.ship()
                await self._bodies.ship()
        self._segments.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self._clock.monotonic()
            for connection in list(self._live):
                connection.check(now)
            self._present.look(now)

    def _facts(self) -> dict[str, Any]:
        """What the control plane shows of this process."""
        return {
            "pid": os.getpid(),
            "slot": self._slot.number,
            "version": __version__,
            "leaving": self._live.leaving,
            "coordinator": self._sharing.state(),
            "listeners": self._listeners.states(),
            "loads": self._demand.report(),
        }

    def _gauges(self) -> dict[str, float]:
        spans = None if self._spans is None else self._spans.queue
        dropped = self._request_log.dropped + self._segments.dropped + self._bodies.refused
        return {
            "spans_exported_total": 0 if spans is None else spans.exported,
            "spans_dropped_total": 0 if spans is None else spans.dropped,
            "request_bodies_dropped_total": dropped,
            "connections": len(self._live),
            "requests_most": self._most,
            "usage_segments_waiting": self._shipping.waiting(),
            "usage_writable": float(self._usage.problem is None),
            "route_table_kept": float(self._following.kept),
            "compiled": float(COMPILED),
            "request_body_segments_waiting": len(self._segments.sealed()),
            "control_silent_seconds": self._clock.monotonic() - self._following.heard_at,
            **self._sharing.gauges(),
        }


async def _first_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Returns when one of `events` is set, or after `seconds`."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _tell_ready(descriptor: int | None) -> None:
    if descriptor is not None:
        with suppress(OSError):
            os.write(descriptor, b"ready\n")
            os.close(descriptor)


def _nobody_restarts() -> None:
    log.warning("no process can take over from this one: nobody is there who would look after it")


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
