"""Keeps the number of replicas that each service's load asks for: looks, decides in `scheduler.autoscaling`, writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ssl import SSLContext

from aicp.core.autoscale import Autoscale
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.gateway import GatewayStatus, ServiceLoad
from aicp.core.launch import ReplicaState
from aicp.core.registry import Registry
from aicp.core.service import Condition, Service
from aicp.engines.base import Engine
from aicp.reconcile.kv_use import KvUse
from aicp.reconcile.loop import Failure
from aicp.scheduler.autoscaling import Load, Recommendation, Scaling, bounds_at, decide_scale
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.gateways import Gateways
from aicp.store.metrics import Metrics
from aicp.store.replicas import Replicas, StoredReplica
from aicp.store.revisions import Revisions
from aicp.store.scales import Scale, Scales
from aicp.store.services import Services

_TTFT_BACK = timedelta(seconds=60)
"""How old the newest time to first token may be; it is measured over 15 s, and comes when a request has ended."""
_WOKEN_LATELY = timedelta(seconds=90)
"""First tokens of requests that waited for a sleeper say nothing of its replicas."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A service that scales itself, as it is now. `scale` None: nothing was decided yet."""

    service_id: str
    name: str
    project: str
    rule: Autoscale
    first: int
    scale: Scale | None
    scaling: Scaling


@dataclass(frozen=True, slots=True)
class ScaleWorld:
    """One look. `over` are services with a scale that do not scale themselves any more."""

    seen: tuple[Seen, ...] = ()
    over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetScale:
    """Want another number, or the same within other bounds; `before` None: for the first time."""

    service_id: str
    name: str
    project: str
    scale: Scale
    before: int | None


@dataclass(frozen=True, slots=True)
class ForgetScale:
    """The user says how many again, or there is no such service."""

    service_id: str


ScaleAction = SetScale | ForgetScale


class Autoscaler:
    """The one writer of scales.

    It remembers what loads came to lately and when services were last used. A restart begins with that anew, which
    makes it late to take replicas away and never early. `tls` gives what to prove oneself with to engines elsewhere.
    """

    name = "autoscaling"
    interval_seconds = 1.0
    bells: Sequence[str] = ("gateway", "service")

    def __init__(
        self,
        database: Database,
        engines: Registry[Engine],
        clock: Clock,
        bell: Bell,
        tls: Callable[[], SSLContext] | None = None,
    ) -> None:
        self._database, self._clock, self._bell = database, clock, bell
        self._kv = KvUse(engines, clock, tls)
        self._used: dict[str, datetime] = {}
        self._histories: dict[str, tuple[Recommendation, ...]] = {}
        self._plans: dict[tuple[str, int], int] = {}

    async def observe(self) -> ScaleWorld:
        """What every service that scales itself has to do."""
        now = self._clock.now()
        async with self._database.snapshot() as tx:
            deleted, scales = await Services(tx).deleted(), await Scales(tx).all()
            services = [item for item in await Services(tx).scaling() if not item.stopped and item.id not in deleted]
            over = tuple(sorted(scales.keys() - {service.id for service in services}))
            if not services:
                self._used, self._histories, self._plans = {}, {}, {}
                return ScaleWorld(over=over)
            ready = await _ready(tx)
            gateways = await Gateways(tx).live(now)
            ttft = await _first_tokens(tx, now)
            await self._note_plans(tx, services)
        loads = _loads(gateways)
        kv = await self._kv.of([item for service in services if _wants_kv(service) for item in ready[service.id]])
        seen: list[Seen] = []
        for service in services:
            replicas, scale = ready[service.id], scales.get(service.id)
            load = self._load(service, scale, loads.get(service.name, ServiceLoad()), now)
            load = replace(
                load,
                known=bool(gateways),
                kv_percent=kv.get(service.id),
                ttft_ms=None if _woke_lately(replicas, now) else ttft.get(service.name),
            )
            seen.append(self._seen(service, scale, load, len(replicas)))
        alive = {service.id for service in services}
        self._used = {name: at for name, at in self._used.items() if name in alive}
        self._histories = {name: kept for name, kept in self._histories.items() if name in alive}
        return ScaleWorld(tuple(seen), over)

    def decide(self, world: ScaleWorld, now: datetime) -> Sequence[ScaleAction]:
        """See scheduler.autoscaling; what a decision came to is kept for the next one."""
        actions: list[ScaleAction] = [ForgetScale(service_id) for service_id in world.over]
        for seen in world.seen:
            decision = decide_scale(seen.scaling, now)
            self._histories[seen.service_id] = decision.history
            before = seen.scale
            if before is None:
                bounds = bounds_at(seen.rule, now)
                first = min(max(seen.first, bounds.least), bounds.most)
                after = Scale(first, bounds.least, bounds.most, f"It begins with {first} replicas", now)
            else:
                after = _next(before, seen.scaling.ready, now)
                bounds = decision.bounds
                after = replace(after, min_replicas=bounds.least, max_replicas=bounds.most)
                if decision.wanted != before.wanted:
                    woken = now if before.wanted == 0 else after.woken_at if decision.wanted else None
                    after = replace(
                        after, wanted=decision.wanted, reason=decision.reason, changed_at=now, woken_at=woken
                    )
            if after != before:
                old = None if before is None else before.wanted
                actions.append(SetScale(seen.service_id, seen.name, seen.project, after, old))
        return actions

    async def act(self, action: ScaleAction) -> None:
        """Writes what is wanted; the loop about services makes it so."""
        async with self._database.transaction() as tx:
            if isinstance(action, ForgetScale):
                await Scales(tx).forget(action.service_id)
                return
            await Scales(tx).save(action.service_id, action.scale)
            if action.before != action.scale.wanted:
                await self._say(tx, action)
        self._bell.ring("service", action.name)

    async def failed(self, action: ScaleAction | None, failure: Failure) -> None:
        """Writes the failure where the service's user sees it."""
        if isinstance(action, SetScale):
            await self._condition(action.service_id, "Failed", failure.message, status=False)

    async def recovered(self, action: ScaleAction | None) -> None:
        """Says that what failed went through."""
        if isinstance(action, SetScale):
            await self._condition(action.service_id, "Recovered", action.scale.reason, status=True)

    async def _condition(self, service_id: str, reason: str, message: str, *, status: bool) -> None:
        condition = Condition(type="Scaled", status=status, reason=reason, message=message, at=self._clock.now())
        async with self._database.transaction() as tx:
            await Services(tx).set_condition(service_id, condition)

    async def _say(self, tx: Transaction, action: SetScale) -> None:
        scale, before = action.scale, action.before
        now = scale.changed_at
        condition = Condition(type="Scaled", status=True, reason=_word(before, scale), message=scale.reason, at=now)
        await Services(tx).set_condition(action.service_id, condition)
        if before is None:
            return
        text = f"Replicas wanted of {action.name}: {scale.wanted} instead of {before}. {scale.reason}."
        await Events(tx).note(now, "service.scaled", "service", action.name, text, project=action.project)

    def _load(self, service: Service, scale: Scale | None, told: ServiceLoad, now: datetime) -> Load:
        queued, running = told.queued + told.held, told.running
        used = max(self._used.get(service.id, now), _moment(told.used_at))
        if queued + running or scale is None or scale.woken_at is not None:
            used = now
        self._used[service.id] = min(used, now)
        return Load(queued=queued, running=running, idle_seconds=(now - self._used[service.id]).total_seconds())

    def _seen(self, service: Service, scale: Scale | None, load: Load, ready: int) -> Seen:
        rule = service.spec.autoscale
        assert rule is not None
        first = rule.first(service.spec.replicas)
        wanted = first if scale is None else scale.wanted
        planned = self._plans[service.id, service.generation]
        scaling = Scaling(rule, wanted, ready, planned, load, self._histories.get(service.id, ()))
        return Seen(service.id, service.name, service.project, rule, first, scale, scaling)

    async def _note_plans(self, tx: Transaction, services: Iterable[Service]) -> None:
        """How many requests a replica of each is planned for; read once for each generation."""
        plans: dict[tuple[str, int], int] = {}
        for service in services:
            key = (service.id, service.generation)
            if key not in self._plans:
                plans[key] = (await Revisions(tx).newest(service.id))[service.id][0].plan.users
            else:
                plans[key] = self._plans[key]
        self._plans = plans


def _next(scale: Scale, ready: int, now: datetime) -> Scale:
    """Once the first replica is ready it is awake, and it is known how long that took."""
    if scale.woken_at is None or not ready:
        return scale
    seconds = round((now - scale.woken_at).total_seconds(), 1)
    return replace(scale, woken_at=None, wakes=(*scale.wakes[-4:], seconds))


def _word(before: int | None, scale: Scale) -> str:
    if before is None:
        return "Begun"
    if scale.wanted == 0:
        return "Asleep"
    if before == 0:
        return "Woken"
    return "Up" if scale.wanted > before else "Down"


async def _ready(tx: Transaction) -> Mapping[str, list[StoredReplica]]:
    found: defaultdict[str, list[StoredReplica]] = defaultdict(list)
    for item in await Replicas(tx).in_state(ReplicaState.READY):
        found[item.service_id].append(item)
    return found


async def _first_tokens(tx: Transaction, now: datetime) -> dict[str, float]:
    """The newest p99 of each service that streamed lately, in milliseconds."""
    found = await Metrics(tx).latest("ttft_ms", since=now - _TTFT_BACK)
    return {labels.get("service", ""): value for labels, value in found if labels.get("quantile") == "p99"}


def _loads(gateways: Iterable[GatewayStatus]) -> dict[str, ServiceLoad]:
    """What all gateways together have of each service."""
    sums: dict[str, ServiceLoad] = {}
    for gateway in gateways:
        for name, load in gateway.loads.items():
            before = sums.get(name, ServiceLoad())
            sums[name] = ServiceLoad(
                queued=before.queued + load.queued,
                running=before.running + load.running,
                held=before.held + load.held,
                used_at=max(before.used_at, load.used_at),
            )
    return sums


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _wants_kv(service: Service) -> bool:
    rule = service.spec.autoscale
    return rule is not None and rule.kv_percent is not None


def _woke_lately(replicas: Sequence[StoredReplica], now: datetime) -> bool:
    times = [item.replica.ready_at for item in replicas if item.replica.ready_at is not None]
    return bool(times) and now - min(times) < _WOKEN_LATELY
