"""A model's own listener serves that model and nothing else; a request there need not name it."""

from __future__ import annotations

import msgspec

from aicp.gateway.bodies import Fields, encode, text_field
from aicp.gateway.errors import ApiError, unknown_model


def model_here(only: str, fields: Fields) -> str:
    """The model of a request at the listener of `only`, set where it is not named. Raises ApiError for another one."""
    if "model" not in fields:
        fields["model"] = msgspec.Raw(encode(only))
        return only
    name = text_field(fields, "model")
    if name != only:
        raise unknown_model(name)
    return name


def only_here(only: str) -> ApiError:
    """404: files and batches may name any model."""
    message = f"This address serves the model {only!r} alone; files and batches are at the gateway's main address."
    return ApiError(404, message, code="not_supported")
