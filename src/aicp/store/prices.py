"""Prices of models' tokens."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, String, delete, func, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.money import PLACES, to_micros
from aicp.core.price import Price
from aicp.core.route import PriceEntry
from aicp.core.value import Page
from aicp.store.database import Base, Transaction


class PriceRow(Base):
    """Millionths of the currency for a million tokens. A model need not exist to have a price."""

    __tablename__ = "prices"

    model: Mapped[str] = mapped_column(String(200), primary_key=True)
    input: Mapped[int] = mapped_column(BigInteger)
    cached_input: Mapped[int | None] = mapped_column(BigInteger)
    output: Mapped[int] = mapped_column(BigInteger)
    set_at: Mapped[datetime]
    set_by: Mapped[str | None] = mapped_column(String(63))


class Prices:
    """Queries over prices."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, model: str) -> Price | None:
        """The price of a model, if it has one."""
        row = await self._session.get(PriceRow, model)
        return _value(row) if row else None

    async def list(
        self, *, models: Collection[str] | None = None, search: str | None = None, offset: int = 0, limit: int = 100
    ) -> Page[Price]:
        """By model; `models` limits to these (None: all)."""
        query = select(PriceRow)
        if models is not None:
            query = query.where(PriceRow.model.in_(models))
        if search:
            query = query.where(PriceRow.model.icontains(search, autoescape=True))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(query.order_by(PriceRow.model).offset(offset).limit(limit))
        return Page(items=[_value(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def entries(self) -> dict[str, PriceEntry]:
        """Prices as gateways need them, by model."""
        return {row.model: _entry(row) for row in await self._session.scalars(select(PriceRow))}

    async def set(self, price: Price) -> None:
        """Puts a price in the place of the one before."""
        cached = None if price.cached_input is None else to_micros(price.cached_input)
        row = PriceRow(
            model=price.model,
            input=to_micros(price.input),
            cached_input=cached,
            output=to_micros(price.output),
            set_at=price.set_at,
            set_by=price.set_by,
        )
        await self._session.merge(row)
        await self._session.flush()

    async def delete(self, model: str) -> None:
        """Takes the price away."""
        await self._session.execute(delete(PriceRow).where(PriceRow.model == model))


def _entry(row: PriceRow) -> PriceEntry:
    return PriceEntry(row.input, row.input if row.cached_input is None else row.cached_input, row.output)


def _value(row: PriceRow) -> Price:
    return Price(
        model=row.model,
        input=_amount(row.input),
        cached_input=None if row.cached_input is None else _amount(row.cached_input),
        output=_amount(row.output),
        set_at=row.set_at,
        set_by=row.set_by,
    )


def _amount(micros: int) -> Decimal:
    return Decimal(micros).scaleb(-PLACES)
