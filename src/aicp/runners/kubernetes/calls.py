"""Connecting to an API server, and its refusals in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, TypeVar

import aiohttp
from kubernetes.aio import client, config

from aicp.core.errors import AicpError, ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from aicp.runners.kubernetes.options import ClusterOptions

T = TypeVar("T")
CALL_SECONDS = 20.0
_CONFLICT, _GONE, _NOT_FOUND = 409, 410, 404
ApiException = client.ApiException


async def connect(options: ClusterOptions) -> client.ApiClient:
    """A client by the kubeconfig file, or by the service account of this pod. Raises InvalidError without either."""
    configuration = client.Configuration()
    try:
        if options.config is not None:
            await config.load_kube_config(config_file=options.config, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        where = options.config or "the service account of this pod"
        raise InvalidError(
            f"The cluster cannot be reached by {where}: {error}.",
            hint="Set AICP_KUBERNETES_CONFIG to a kubeconfig file, or run the platform in the cluster.",
        ) from error
    return client.ApiClient(configuration)


async def ask(call: Awaitable[T], what: str) -> T:
    """The answer of the API server. `what` says what is attempted: `start the replica rep_1`.

    Raises NotFoundError, ConflictError, ForbiddenError, InvalidError or UnavailableError.
    """
    try:
        async with asyncio.timeout(CALL_SECONDS):
            return await call
    except ApiException as error:
        raise explain(error, what) from error
    except TimeoutError as error:
        raise UnavailableError(f"The API server did not answer in time to {what}.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UnavailableError(
            f"The API server cannot be reached to {what}: {error}.", hint="It is tried again by itself."
        ) from error


def explain(error: ApiException, what: str) -> AicpError:
    """A refusal of the API server in words."""
    said = message_of(error)
    match error.status:
        case 401 | 403:
            return ForbiddenError(
                f"The cluster does not allow the platform to {what}: {said}.",
                hint="Give its service account the Role of `aicp kubernetes render`.",
            )
        case 404:
            return NotFoundError(f"The cluster does not know what is needed to {what}: {said}.")
        case 409:
            return ConflictError(f"The cluster was asked to {what} by somebody else at the same time: {said}.")
        case 400 | 422:
            return InvalidError(f"The cluster refused to {what}: {said}.")
        case _:
            return UnavailableError(f"The API server could not {what} (status {error.status}): {said}.")


def already_exists(error: BaseException | None) -> bool:
    """Whether an object could not be made because it is there; the same status also tells of lost races."""
    return isinstance(error, ApiException) and error.status == _CONFLICT and "AlreadyExists" in (error.body or "")


def is_gone(error: Exception) -> bool:
    """Whether a resource version is too old to watch from."""
    return isinstance(error, ApiException) and error.status == _GONE


def is_absent(error: Exception) -> bool:
    """Whether there is no such object, or no such kind."""
    return isinstance(error, ApiException) and error.status == _NOT_FOUND


def message_of(error: ApiException) -> str:
    """What the API server said, without its JSON around it."""
    try:
        found: Any = json.loads(error.body or "")
        text = found.get("message") or error.reason
    except (ValueError, AttributeError):
        text = error.body or error.reason
    return str(text or "no reason was given").strip().rstrip(".")
