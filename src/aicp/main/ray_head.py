"""Becomes Ray's head on this machine: its certificate issued, what an earlier head left cleared away, then Ray."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aicp.core.clock import SystemClock
from aicp.core.ray_member import HEAD, RayMember
from aicp.core.registry import Registry
from aicp.main.preflight import prepare_data_dir
from aicp.main.ray_redis import check_redis
from aicp.main.ray_start import (
    end_leftovers,
    forget_earlier_head,
    head_command,
    ray_variables,
    state_environment,
)
from aicp.main.settings import Settings, environment
from aicp.security.ray_trust import RayTrust


def main(settings: Settings) -> int:
    """Does not return: the process becomes `ray start --head --block`. Raises InvalidError for wrong settings,
    UnavailableError for a Redis that cannot be used."""
    Registry[Any]("aicp.runners").get("ray").check(settings.runner_options())
    if settings.ray_redis:
        check_redis(settings.ray_redis, settings.ray_redis_authority)
    prepare_data_dir(settings.data_dir)
    member = member_of(settings)
    trust(settings).admit(member.address).write(member.directory)
    end_leftovers(member)
    forget_earlier_head(member)
    variables = ray_variables(environment()) | member.environment(settings.ray_reconnect_seconds)
    command = head_command(member, HEAD)
    state = state_environment(settings.ray_redis, settings.ray_redis_authority, member.directory)
    os.execve(command[0], command, variables | state)


def member_of(settings: Settings) -> RayMember:
    """The membership of the head's machine."""
    host = settings.ray_address.rpartition(":")[0].strip("[]")
    return RayMember(settings.data_dir / "run" / "ray", settings.ray_address, host)


def trust(settings: Settings) -> RayTrust:
    """The authority that admits machines to this platform's Ray."""
    return RayTrust(authority_dir(settings), SystemClock().now())


def authority_dir(settings: Settings) -> Path:
    """Where that authority is kept."""
    return settings.data_dir / "run" / "ray-authority"
