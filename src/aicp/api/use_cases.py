"""How an endpoint reaches its use case: by type, from what the composition root built."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Depends, Request

T = TypeVar("T")


def use_case(wanted: type[T]) -> Any:
    """A dependency that gives the one object of type `wanted`: `Annotated[Models, use_case(Models)]`."""

    def provide(request: Request) -> T:
        return request.app.state.use_cases[wanted]

    return Depends(provide)
