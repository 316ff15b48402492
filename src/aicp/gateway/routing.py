"""Which replica serves a request: the one where its answer is expected first, told in seconds.

    cost = (queued + prompt - hit + ahead / 5) * prefill - 19 * hit * usual prefill + answer * decode * running / 20

`queued` are the uncached tokens of prompts on their way to the replica or waiting there, without what is read of the
first of them already; `hit` the tokens of this prompt that it holds, `ahead` the work of the last minutes that it was
given beyond its share, `prefill` its seconds for a prompt token, `answer * decode` the seconds that an answer takes.
Form of the cost: the KV router of Dynamo; in seconds, so that unlike replicas compare: the least-load policy of SMG.
How full a KV cache is, is not known here and not part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import inf
from operator import attrgetter
from typing import Final

from aicp.gateway.metrics import Metrics
from aicp.gateway.prefixes import ENDS
from aicp.gateway.prompts import Prompt
from aicp.gateway.replicas import FIRST_DECODE_SECONDS, Replica
from aicp.gateway.speeds import FIRST_PREFILL_SECONDS, Traffic, believed
from aicp.gateway.visits import REQUEST_TOKENS, Visit

_LOOK_SECONDS: Final = 1.0
_SESSION_TOKENS: Final = 1024
"""A replica that served the session counts as one that holds the whole prompt, and so much at least."""
_ANSWERS: Final = 0.05
"""What an answer under way counts for, of the time that it takes: it slows the reading of prompts, and little."""
_KEPT: Final = 19.0
"""How many times the usual reading of its tokens a hit is worth beside what it saves now: the prefix will be wanted
again, and what a second copy of it pushes out is missing elsewhere. Found on the first half of a real trace, see
benchmarks/gateway/routing.py."""
_EVEN: Final = 0.2
"""What a replica's work of the last minutes beyond its share counts for: placing what nobody holds where least was
placed spreads the work, and with it what pushes what out of the caches."""
_FADING: Final = 0.998
"""How much of that is left after a second."""
_AHEAD_PROMPTS: Final = 10.0
"""It is reckoned up to so many usual prompts, so that one which was away for a while is not buried when it is back."""
_SPILL_SHARE: Final = 1.5
SPILL_PROMPTS: Final = 6.0
"""So many usual prompts more than at the others may wait at a replica before it is spared."""


class Option:
    """A replica as a request sees it. `wait`: seconds for what is there; `plain` and `cost`: for
    its answer, too, without and with what the replica holds of it; `hit`: blocks of it that the replica holds."""

    __slots__ = ("cost", "hit", "plain", "replica", "uncached", "wait")

    def __init__(self, replica: Replica, prompt: Prompt, now: float, guess: int = 0) -> None:
        self.replica = replica
        prefill, tokens, blocks = replica.prefill_seconds, prompt.tokens, prompt.blocks
        self.wait = wait = _wait(replica, prompt, now)
        self.plain = self.cost = wait + (REQUEST_TOKENS + tokens + _EVEN * replica.ahead) * prefill
        self.hit = hit = replica.held.depth(blocks, guess) if blocks else 0
        self.uncached = tokens
        saved = 0.0
        if hit:
            self.uncached = max(1.0, tokens - ENDS[hit] * prompt.per_byte)
            saved = tokens - self.uncached
        if prompt.session and replica.held.depth(prompt.session):
            saved = max(tokens - 1.0, _SESSION_TOKENS)
        if saved:
            self.cost -= saved * (prefill + _KEPT * prompt.traffic.prefill_seconds)


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
    left = [replica for replica in replicas if replica not in tried] if tried else replicas
    if prompt is None:  # there was nothing to choose when the request came, and may be now that it has waited
        return Visit(min(left, key=attrgetter("inflight"))) if left else None
    trusted = [replica for replica in left if replica.trusted(now)] or left
    if not trusted:
        return None
    if now >= prompt.traffic.look_at:
        look(replicas, prompt.traffic, now)
    if not prompt.blocks and not prompt.session:
        visit = Visit(_soonest(trusted, prompt, now, random))
        visit.expect(prompt, prompt.tokens, now)
        return visit
    slack = SPILL_PROMPTS * prompt.traffic.prompt_seconds
    chosen, spilled = choose(_options(trusted, prompt, now), slack, random)
    metrics.prefix_blocks += len(prompt.blocks)
    metrics.prefix_hits += chosen.hit
    metrics.spills += spilled
    visit = Visit(chosen.replica)
    visit.expect(prompt, chosen.uncached, now)
    return visit


def _options(replicas: Sequence[Replica], prompt: Prompt, now: float) -> list[Option]:
    """One for each. What a replica holds is often as much as another one does: the beginning that all prompts share."""
    options: list[Option] = []
    guess = 0
    for replica in replicas:
        option = Option(replica, prompt, now, guess)
        options.append(option)
        guess = option.hit or guess
    return options


def _wait(replica: Replica, prompt: Prompt, now: float) -> float:
    """Seconds until a replica has done what it was sent."""
    waiting = replica.waiting(now) if replica.reading else 0.0
    answers = _ANSWERS * prompt.traffic.answer_tokens * replica.decode_seconds * replica.inflight
    return waiting * replica.prefill_seconds + answers


def _soonest(replicas: Sequence[Replica], prompt: Prompt, now: float, random: Callable[[], float]) -> Replica:
    """The replica where a prompt that nobody can hold is answered first, ties by chance."""
    work = REQUEST_TOKENS + prompt.tokens
    least, best = inf, replicas[0]
    ties = 0
    for replica in replicas:
        cost = _wait(replica, prompt, now) + work * replica.prefill_seconds
        if cost < least:
            least, best, ties = cost, replica, 1
        elif cost == least:
            ties += 1
    if ties < 2:
        return best
    place = int(random() * ties)
    for replica in replicas:
        if _wait(replica, prompt, now) + work * replica.prefill_seconds == least:
            if place == 0:
                return replica
            place -= 1
    return best


def choose(options: Sequence[Option], slack: float, random: Callable[[], float]) -> tuple[Option, bool]:
    """The cheapest option, ties by chance, and whether it is a spill.

    A replica where more than half as much again waits as at the others, and `slack` seconds more, is spared even when
    its hit would be worth the wait: the request goes where it is cheapest without any hit, so that what is wanted often
    is soon held by several.
    """
    best, waits, ties = options[0], 0.0, 0
    for option in options:
        waits += option.wait
        if option.cost < best.cost:
            best, ties = option, 1
        elif option.cost == best.cost:
            ties += 1
    if ties > 1:
        alike = [option for option in options if option.cost == best.cost]
        best = alike[int(random() * len(alike))]
    mean = waits / len(options)
    if best.wait <= mean + slack or best.wait <= mean * _SPILL_SHARE:
        return best, False
    least = min([option.plain for option in options])
    alike = [option for option in options if option.plain == least]
    other = alike[int(random() * len(alike))]
    return other, other is not best


def look(replicas: Sequence[Replica], traffic: Traffic, now: float) -> None:
    """Takes what was learnt of the replicas' speeds and work into account until the next look, a second later."""
    passed = now - traffic.look_at + _LOOK_SECONDS
    traffic.look_at = now + _LOOK_SECONDS
    prefill = believed([replica.prefill.seen(now) for replica in replicas], FIRST_PREFILL_SECONDS)
    decode = believed([replica.decode.seen(now) for replica in replicas], FIRST_DECODE_SECONDS)
    for replica, reading, writing in zip(replicas, prefill, decode, strict=True):
        replica.prefill_seconds, replica.decode_seconds = reading, writing
    traffic.prefill_seconds = sum(prefill) / len(prefill)
    _even_out(replicas, _FADING**passed, _AHEAD_PROMPTS * traffic.prompt_seconds)


def _even_out(replicas: Sequence[Replica], left: float, most: float) -> None:
    """Tells anew who was given more than its share of the work, in seconds; `left` of what was told before counts."""
    done = [replica.ahead * left * replica.prefill_seconds for replica in replicas]
    mean = sum(done) / len(done)
    for replica, seconds in zip(replicas, done, strict=True):
        replica.ahead = max(-most, min(most, seconds - mean)) / replica.prefill_seconds
