"""Which replica serves a request: the one where its answer is expected first, told in seconds.

    cost = (queued + 64 + prompt - hit) * prefill + running * answer * decode / 20 - 19 * hit * mean prefill

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
_SPILL_SHARE = 2.0
_SPILL_SECONDS = 2.0


class Option:
    """A replica as a request sees it, in seconds: `wait` for what is there before it, `plain` with its own prompt read,
    `cost` with what the replica holds of the prompt."""

    __slots__ = ("cost", "hit", "plain", "replica", "uncached", "wait")

    def __init__(self, replica: Replica, prompt: Prompt, now: float) -> None:
        self.replica = replica
        traffic, prefill, tokens = prompt.traffic, replica.prefill_seconds, prompt.tokens
        running = replica.inflight * traffic.answer_tokens * replica.decode_seconds
        self.hit = replica.held.depth(prompt.blocks) if prompt.blocks else 0
        self.wait = replica.waiting(now) * prefill + _RUNNING_SHARE * running
        self.uncached = max(1.0, tokens - ENDS[self.hit] * prompt.per_byte)
        self.plain = self.wait + (REQUEST_TOKENS + tokens) * prefill
        saved = tokens - self.uncached
        if prompt.session and replica.held.depth(prompt.session):
            saved = max(tokens - 1.0, _SESSION_TOKENS)
        self.cost = self.plain - saved * (prefill + _HIT_WORTH * traffic.prefill_seconds)


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
    left = [replica for replica in replicas if replica not in tried]
    trusted = [replica for replica in left if replica.trusted(now)] or left
    if not trusted:
        return None
    if now >= prompt.traffic.look_at:
        look(replicas, prompt.traffic, now)
    chosen, spilled = choose([Option(replica, prompt, now) for replica in trusted], random)
    metrics.prefix_blocks += len(prompt.blocks)
    metrics.prefix_hits += chosen.hit
    metrics.spills += spilled
    visit = Visit(chosen.replica)
    visit.expect(prompt, chosen.uncached, now)
    return visit


def choose(options: Sequence[Option], random: Callable[[], float]) -> tuple[Option, bool]:
    """The cheapest option, ties by chance, and whether it is a spill.

    A replica with much more waiting than the others is spared even when its hit would be worth the wait: the request
    goes where it is cheapest without any hit, so that what is wanted often is soon held by several.
    """
    best = _least(options, [option.cost for option in options], random)
    mean = sum(option.wait for option in options) / len(options)
    if best.wait <= mean + _SPILL_SECONDS or best.wait <= mean * _SPILL_SHARE:
        return best, False
    other = _least(options, [option.plain for option in options], random)
    return other, other is not best


def look(replicas: Sequence[Replica], traffic: Traffic, now: float) -> None:
    """Takes what was learnt of the replicas' speeds into account until the next look, a second later."""
    traffic.look_at = now + _LOOK_SECONDS
    prefill = believed([replica.prefill.seen(now) for replica in replicas], FIRST_PREFILL_SECONDS)
    decode = believed([replica.decode.seen(now) for replica in replicas], FIRST_DECODE_SECONDS)
    traffic.prefill_seconds = len(prefill) / sum(1 / seconds for seconds in prefill)
    for replica, reading, writing in zip(replicas, prefill, decode, strict=True):
        replica.prefill_seconds, replica.decode_seconds = reading, writing


def _least(options: Sequence[Option], costs: Sequence[float], random: Callable[[], float]) -> Option:
    least = min(costs)
    ties = [option for option, cost in zip(options, costs, strict=True) if cost == least]
    return ties[0] if len(ties) == 1 else ties[int(random() * len(ties))]
