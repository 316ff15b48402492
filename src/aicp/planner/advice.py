"""How many cards of a kind do services need, whole and sliced; a pure function over the accelerator catalogue.

A share measured on one card is brought to another by the ratio of their dense 16-bit rates, or of their memory
bandwidths where the service is bound by those: share x rate of the one / rate of the other, rounded up to whole
hundredths. Then each need is rounded to what the card can be cut into, and the slices are packed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aicp.core.accelerator_catalog import CatalogAccelerator, find_catalog_accelerator
from aicp.core.advice import Advice, AdviceRequest, CardAdvice, CardLimit, PackedCard, PackedShare, ServiceNeed
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.quantity import format_bytes
from aicp.core.slice import MEMORY_UNIT_BYTES, SliceRequest, SliceSize, Slicing, size_slice
from aicp.planner.packing import Capacity, Item, Packing, pack

_ALMOST = 1e-6
"""A share this little above a whole hundredth is that hundredth: it comes from dividing."""


@dataclass(frozen=True, slots=True)
class _Need:
    """One replica's need on one kind of card. `size` None: it takes a whole card."""

    service: ServiceNeed
    compute_percent: int
    size: SliceSize | None = None


class _Impossible(Exception):
    """Why a service cannot run on a kind of card, in a sentence."""


def advise(request: AdviceRequest) -> Advice:
    """One answer for each kind of card. Raises InvalidError for a card that the catalogue lacks or knows no rate of."""
    measured = {
        service.name: _rate(_known(service.measured_on), service.bound_by)
        for service in request.services
        if service.measured_on is not None
    }
    for service in request.services:
        if service.measured_on is not None and measured[service.name] is None:
            raise InvalidError(
                f"The catalogue knows no {_RATE_NAMES[service.bound_by]} of {service.measured_on}, on which"
                f" {service.name} was measured.",
                hint="Say `tflops`, or a share measured on another card.",
            )
    answers = [_for_card(limit, request, measured) for limit in request.cards]
    possible = [item for item in answers if item.fits and item.sliced_cards is not None]
    best = min(possible, key=lambda item: (item.sliced_cards or 0, item.memory_bytes), default=None)
    return Advice(cards=answers, best=best.card if best else None)


def _for_card(limit: CardLimit, request: AdviceRequest, measured: dict[str, float | None]) -> CardAdvice:
    card = _known(limit.name)
    memory = card.memory_bytes - request.reserve_bytes
    try:
        percents = {service.name: _percent(service, card, measured) for service in request.services}
        for service in request.services:
            _check_fits(service, card, memory, percents[service.name])
    except _Impossible as problem:
        return CardAdvice(
            card=card.name, product=card.product, memory_bytes=max(0, memory), fits=False, reason=str(problem)
        )
    way = _choose_way(request.services, percents, card.slicing)
    if way is not None and way.profiles:
        memory = card.memory_bytes  # fixed shapes already leave out what the card keeps back
    needs = [_need(service, percents[service.name], way) for service in request.services]
    packing = pack(_items(needs, memory), _capacity(memory, way))
    return _answer(card, limit, memory, needs, way, packing)


def _known(name: str) -> CatalogAccelerator:
    try:
        return find_catalog_accelerator(name)
    except NotFoundError as error:
        raise InvalidError(error.message, hint=error.hint, code=error.code) from error


_RATE_NAMES = {"compute": "16-bit rate", "bandwidth": "memory bandwidth"}


def _rate(card: CatalogAccelerator, bound_by: str) -> float | None:
    return card.flops_16bit if bound_by == "compute" else card.bandwidth_bytes_per_second


def _percent(service: ServiceNeed, card: CatalogAccelerator, measured: dict[str, float | None]) -> int:
    """What one replica needs of this card's compute, in whole hundredths."""
    share = service.compute_percent
    if service.tflops is None and (share is None or service.measured_on is None):
        return 100 if share is None else max(1, math.ceil(share - _ALMOST))
    bound = "compute" if service.tflops is not None else service.bound_by
    rate = _rate(card, bound)
    if rate is None:
        raise _Impossible(
            f"The catalogue knows no {_RATE_NAMES[bound]} of {card.name}, so {service.name} has no share."
        )
    needed = service.tflops * 1e12 if service.tflops is not None else (share or 0) / 100 * (measured[service.name] or 0)
    return max(1, math.ceil(100 * needed / rate - _ALMOST))


def _check_fits(service: ServiceNeed, card: CatalogAccelerator, memory: int, percent: int) -> None:
    if percent > 100:
        raise _Impossible(
            f"One replica of {service.name} needs {percent} % of the compute of a {card.name}; give it more replicas"
            " with less each."
        )
    if service.memory_bytes > memory:
        raise _Impossible(
            f"One replica of {service.name} needs {format_bytes(service.memory_bytes)}; a {card.name} has"
            f" {format_bytes(max(0, memory))} for it."
        )


def _sliced(service: ServiceNeed, percent: int, way: Slicing) -> SliceSize | None:
    if service.whole:
        return None
    return size_slice(SliceRequest(compute_percent=percent, memory_bytes=service.memory_bytes), way)


def _choose_way(services: Sequence[ServiceNeed], percents: dict[str, int], ways: Sequence[Slicing]) -> Slicing | None:
    """The way that holds the most replicas as slices, the first of equals: a card is cut in one way at a time."""

    def held(way: Slicing) -> int:
        return sum(one.replicas for one in services if _sliced(one, percents[one.name], way) is not None)

    best = max(ways, key=held, default=None)
    return best if best is not None and held(best) else None


def _need(service: ServiceNeed, percent: int, way: Slicing | None) -> _Need:
    return _Need(service, percent, _sliced(service, percent, way) if way is not None else None)


def _capacity(memory: int, way: Slicing | None) -> Capacity:
    return Capacity(100, memory // MEMORY_UNIT_BYTES, way.at_most if way is not None else 1)


def _items(needs: Sequence[_Need], memory: int) -> list[Item]:
    """One item for each replica; its key is its number over all services. Memory in units, a slice's rounded up."""
    items: list[Item] = []
    for need in needs:
        compute, units = 100, memory // MEMORY_UNIT_BYTES
        if need.size is not None:
            compute, units = need.size.compute_percent, -(-need.size.memory_bytes // MEMORY_UNIT_BYTES)
        apart = need.service.name if need.service.spread else None
        items += [Item(len(items) + number, compute, units, apart) for number in range(need.service.replicas)]
    return items


def _answer(
    card: CatalogAccelerator,
    limit: CardLimit,
    memory: int,
    needs: Sequence[_Need],
    way: Slicing | None,
    packing: Packing,
) -> CardAdvice:
    count, whole = len(packing.bins), sum(need.service.replicas for need in needs)
    fits = limit.at_most is None or count <= limit.at_most
    owners = [(need, number + 1) for need in needs for number in range(need.service.replicas)]
    return CardAdvice(
        card=card.name,
        product=card.product,
        memory_bytes=memory,
        whole_cards=whole,
        sliced_cards=count,
        least_cards=packing.least,
        exact=packing.exact,
        fits=fits,
        mechanism=way.mechanism if way is not None else None,
        reason=_sentence(count, whole, limit.at_most),
        packing=[_packed(number, [owners[item.key] for item in items], memory) for number, items in _numbered(packing)],
        notes=_notes(card, needs, way),
    )


def _numbered(packing: Packing) -> list[tuple[int, tuple[Item, ...]]]:
    return list(enumerate((tuple(sorted(items, key=lambda item: item.key)) for items in packing.bins), start=1))


def _sentence(count: int, whole: int, at_most: int | None) -> str:
    text = f"{whole} whole or {count} sliced"
    return text if at_most is None or count <= at_most else f"{text}, and there may be {at_most}"


def _packed(number: int, owners: Sequence[tuple[_Need, int]], memory: int) -> PackedCard:
    shares = [_share(need, replica, memory) for need, replica in owners]
    return PackedCard(
        number=number,
        shares=shares,
        compute_free_percent=100 - sum(share.compute_percent for share in shares),
        memory_free_bytes=memory - sum(share.memory_bytes for share in shares),
    )


def _share(need: _Need, replica: int, memory: int) -> PackedShare:
    size = need.size
    if size is None:
        return PackedShare(
            service=need.service.name, replica=replica, compute_percent=100, memory_bytes=memory, whole=True
        )
    return PackedShare(
        service=need.service.name,
        replica=replica,
        compute_percent=size.compute_percent,
        memory_bytes=size.memory_bytes,
        profile=size.profile,
        rounding=size.rounding,
    )


def _notes(card: CatalogAccelerator, needs: Sequence[_Need], way: Slicing | None) -> list[str]:
    notes: list[str] = []
    if way is None:
        notes.append(f"The catalogue knows no way to cut a {card.name} that holds one of these services.")
    alone = [need.service.name for need in needs if need.size is None and not need.service.whole]
    if way is not None and alone:
        notes.append(f"No slice of a {card.name} is large enough for {', '.join(alone)}: a whole card each.")
    if "flops_16bit" in card.derived:
        notes.append(f"The 16-bit rate of {card.name} is derived: {card.derived['flops_16bit']}.")
    return notes
