"""Changes of a pool that run for a while: moves that free whole accelerators, and reservations."""

from __future__ import annotations

from pydantic import AwareDatetime, Field, model_validator

from aicp.core.ids import NAME_PATTERN
from aicp.core.value import Request, Value


class ProposedMove(Value):
    """A replica that would start again on another accelerator before it ends where it is. Names are None for what
    belongs to another's project."""

    replica: str
    service: str | None = None
    project: str | None = None
    compute_percent: int
    memory_bytes: int
    from_node: str
    from_accelerator: str
    node: str
    accelerator: str


class FreedAccelerator(Value):
    """An accelerator that is free as a whole after the moves."""

    node: str
    accelerator: str
    vendor: str
    device_id: str
    memory_bytes: int


class Defragmentation(Value):
    """Moves that would free whole accelerators of a pool, and which waiting services find a place then."""

    pool: str
    moves: list[ProposedMove] = []
    freed: list[FreedAccelerator] = []
    helps: list[str] = Field(default=[], description="services that wait and would find a place")
    under_way: list[str] = Field(default=[], description="replicas that are being moved already")


class DefragmentationOrder(Request):
    """What to carry out of a proposal."""

    replicas: list[str] | None = Field(default=None, description="only the moves of these replicas; all when left out")


class ReservationCreate(Request):
    """Accelerators of a pool that only one project may have between two times."""

    pool: str = Field(pattern=NAME_PATTERN)
    project: str = Field(pattern=NAME_PATTERN)
    accelerators: int = Field(ge=1, le=100_000, description="how many; the platform chooses which")
    vendor: str | None = Field(default=None, description="of this vendor alone; processors cannot be reserved")
    product: str | None = Field(default=None, description="of this product alone")
    starts_at: AwareDatetime | None = Field(default=None, description="now when left out")
    ends_at: AwareDatetime
    note: str = Field(default="", max_length=2000)

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> ReservationCreate:
        if self.starts_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("it ends before it starts")
        return self


class ReservedAccelerator(Value):
    """One accelerator of a reservation. `held_by_others`: replicas of other projects still hold a part of it."""

    node_id: str
    node: str
    vendor: str
    device_id: str
    accelerator: str
    held_by_others: int = 0


class Reservation(Value):
    """Accelerators that only one project may have for a time."""

    id: str
    pool: str
    project: str
    note: str = ""
    accelerators: list[ReservedAccelerator]
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    active: bool = Field(description="others are kept off now")
    created_by: str
    created_at: AwareDatetime
