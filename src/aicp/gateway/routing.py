"""Which replica serves a request: the one where its answer is expected first, told in seconds.

    cost = (queued + 128 + prompt - hit) * prefill + running * answer * decode / 20 - 19 * hit * mean prefill

`queued` are the uncached tokens of prompts on their way to the replica or waiting there, `hit` the tokens of this
prompt that it holds, `prefill` its seconds for a prompt token, `running` its requests in flight, `answer` the usual
tokens of an answer; a token of one of n answers takes `decode * (64 + n)` seconds. Form of the cost: the KV router of
Dynamo; in seconds, so that unlike replicas compare: the least-load policy of SMG. The last term is what a hit is worth
beyond this request: to read again what another replica holds delays all who come after and pushes out of a cache what
they need. How full a KV cache is, is not known here and not part of the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from aicp.gateway.metrics import Metrics
from aicp.gateway.prefixes import ENDS
from aicp.gateway.prompts import Prompt
from aicp.gateway.replicas import FIRST_DECODE_SECONDS, FIRST_PREFILL_SECONDS, Replica
from aicp.gateway.speeds import Traffic, believed
from aicp.gateway.visits import REQUEST_TOKENS, Visit

_LOOK_SECONDS = 1.0
_SESSION_TOKENS = 1024
"""A replica that served the session counts as one that holds the whole prompt, and so much at least."""
_RUNNING_SHARE = 0.05
_HIT_WORTH = 19.0
"""A token that need not be read is worth so many more to those who come after."""
_SPILL_SHARE = 1.25
_SPILL_SECONDS = 4.0


class Views:
    """What a request sees of replicas, in their order. Seconds: `waits` for what is there before it, `plain` with its
    own prompt read, `costs` with what they hold of the prompt. `hits` are bytes."""

    __slots__ = ("costs", "hits", "plain", "waits")

    def __init__(self, replicas: Sequence[Replica], prompt: Prompt, now: float) -> None:
        blocks, session, per_byte, traffic = prompt.blocks, prompt.session, prompt.per_byte, prompt.traffic
        most, own = prompt.tokens - 1.0, REQUEST_TOKENS + prompt.tokens
        running, worth = _RUNNING_SHARE * traffic.answer_tokens, _HIT_WORTH * traffic.prefill_seconds
        self.waits: list[float] = []
        self.plain: list[float] = []
        self.costs: list[float] = []
        self.hits: list[int] = []
        for replica in replicas:
            if replica.silent:
                replica.settle(now)
            prefill = replica.prefill_seconds
            wait = replica.queued * prefill + running * replica.inflight * replica.decode_seconds
            plain = wait + own * prefill
            hit = saved = 0
            if blocks:
                hit = ENDS[replica.held.depth(blocks)]
                saved = min(hit * per_byte, most)
            if session and replica.held.depth(session):
                saved = max(most, _SESSION_TOKENS)
            self.waits.append(wait)
            self.plain.append(plain)
            self.costs.append(plain - saved * (prefill + worth) if saved else plain)
            self.hits.append(hit)


def dispatch(
    replicas: Sequence[Replica],
    prompt: Prompt | None,
    tried: Collection[Replica],
    now: float,
    random: Callable[[], float],
    metrics: Metrics,
) -> Visit | None:
    """Chooses a replica and charges it; None when all were tried. `random` gives floats from 0 to 1.

    Replicas with an open breaker serve only when no other is left: refusing without a try helps nobody.
    """
    if prompt is None:
        return next((Visit(replica) for replica in replicas if replica not in tried), None)
    left = [replica for replica in replicas if replica not in tried] if tried else replicas
    trusted = [replica for replica in left if not replica.failures or replica.trusted(now)] or left
    if not trusted:
        return None
    if now >= prompt.traffic.look_at:
        look(replicas, prompt.traffic, now)
    views = Views(trusted, prompt, now)
    chosen, spilled = choose(views, random)
    hit = views.hits[chosen]
    metrics.prefix_bytes += prompt.size
    metrics.prefix_hit_bytes += hit
    metrics.spills += spilled
    visit = Visit(trusted[chosen])
    visit.expect(prompt, max(1.0, prompt.tokens - hit * prompt.per_byte), now)
    return visit


def choose(views: Views, random: Callable[[], float]) -> tuple[int, bool]:
    """The place of the cheapest replica, ties by chance, and whether it is a spill.

    A replica with much more waiting than the others is spared even when its hit would be worth the wait: the request
    goes where it is cheapest without any hit, so that what is wanted often is soon held by several.
    """
    waits = views.waits
    best = _least(views.costs, random)
    mean = sum(waits) / len(waits)
    if waits[best] <= mean + _SPILL_SECONDS or waits[best] <= mean * _SPILL_SHARE:
        return best, False
    other = _least(views.plain, random)
    return other, other != best


def look(replicas: Sequence[Replica], traffic: Traffic, now: float) -> None:
    """Takes what was learnt of the replicas' speeds into account until the next look, a second later."""
    traffic.look_at = now + _LOOK_SECONDS
    prefill = believed([replica.prefill.seen(now) for replica in replicas], FIRST_PREFILL_SECONDS)
    decode = believed([replica.decode.seen(now) for replica in replicas], FIRST_DECODE_SECONDS)
    traffic.prefill_seconds = len(prefill) / sum(1 / seconds for seconds in prefill)
    for replica, reading, writing in zip(replicas, prefill, decode, strict=True):
        replica.prefill_seconds, replica.decode_seconds = reading, writing


def _least(values: Sequence[float], random: Callable[[], float]) -> int:
    least = min(values)
    if values.count(least) == 1:
        return values.index(least)
    ties = [place for place, value in enumerate(values) if value == least]
    return ties[int(random() * len(ties))]
