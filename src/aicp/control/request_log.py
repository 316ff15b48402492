"""The request log: rules of projects, bodies taken in from the gateways, requests found and read."""

from __future__ import annotations

from datetime import timedelta

from aicp.control.kept_bodies import forget_bodies, forget_some
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.request_log import (
    BodyBatch,
    LoggedRequest,
    Redactor,
    RequestBodies,
    RequestLogRule,
    RequestLogRuleSet,
    RequestPage,
    RequestQuery,
)
from aicp.core.value import Page
from aicp.security.own_patterns import OwnPattern
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.projects import Projects
from aicp.store.request_bodies import RequestBodies as StoredBodies
from aicp.store.request_log import RequestLogRules
from aicp.store.requests import Requests

_NOT_OF_A_RULE = {"project", "set_at", "set_by"}


class RequestLog:
    """Requests of the projects that a caller may see. A changed rule reaches every gateway within a second."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell

    async def rules(self, caller: Caller, *, offset: int = 0, limit: int = 100) -> Page[RequestLogRule]:
        """Rules that were set, by project: who has opted in, and who did it."""
        visible = caller.visible_projects(Permission.PROJECT_READ)
        async with self._database.snapshot() as tx:
            return await RequestLogRules(tx).list(projects=visible, offset=offset, limit=limit)

    async def rule(self, caller: Caller, project: str) -> RequestLogRule:
        """What is kept of a project's requests. Raises NotFoundError."""
        caller.require(Permission.PROJECT_READ, project, what=f"Project {project!r}")
        async with self._database.snapshot() as tx:
            await _require_project(tx, project)
            return await RequestLogRules(tx).find(project) or RequestLogRule(project=project)

    async def set_rule(self, caller: Caller, project: str, wanted: RequestLogRuleSet) -> RequestLogRule:
        """Sets what is kept of a project's requests from now on. Raises InvalidError for a pattern that is unsafe."""
        caller.require(Permission.PROJECT_WRITE, project, what=f"Project {project!r}")
        _check_patterns(wanted.patterns)
        redact = [name for name in Redactor if name in wanted.redact or name is Redactor.SECRETS]
        rule = RequestLogRule(
            **{**dict(wanted), "redact": redact}, project=project, set_at=self._clock.now(), set_by=caller.user
        )
        while not await self._set(caller, rule):
            pass
        self._bell.ring("project", project)
        return rule

    async def _set(self, caller: Caller, rule: RequestLogRule) -> bool:
        """A first rule is set where nothing is left of an earlier time; False when that takes another transaction."""
        async with self._database.transaction() as tx:
            await _require_project(tx, rule.project)
            before = await RequestLogRules(tx).find(rule.project)
            if before is None and not await forget_some(tx, rule.project):
                return False
            await RequestLogRules(tx).set(rule)
            await self._audit(tx, caller, "request_log.set", before, rule)
        return True

    async def delete_rule(self, caller: Caller, project: str) -> None:
        """Keeps nothing from now on and deletes what was kept. Raises NotFoundError."""
        caller.require(Permission.PROJECT_WRITE, project, what=f"Project {project!r}")
        async with self._database.transaction() as tx:
            before = await RequestLogRules(tx).find(project)
            if before is None:
                raise NotFoundError(f"Project {project!r} has no rule for its request log.")
            await RequestLogRules(tx).delete(project)
            await self._audit(tx, caller, "request_log.delete", before, RequestLogRule(project=project))
        self._bell.ring("project", project)
        await forget_bodies(self._database, project)

    async def accept(self, batch: BodyBatch) -> None:
        """Keeps a gateway's batch, once however often it is sent; nothing of projects that have no rule any more."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            days = await RequestLogRules(tx).retention()
            await StoredBodies(tx).add(
                record
                for record in batch.records
                if record.project in days and record.started_at > now - timedelta(days=days[record.project])
            )

    async def list(
        self, caller: Caller, which: RequestQuery, *, before: str | None = None, limit: int = 100
    ) -> RequestPage:
        """Requests, newest first. Raises InvalidError when `before` is none."""
        projects = caller.visible_projects(Permission.USAGE_READ)
        if which.project is not None:
            caller.require(Permission.USAGE_READ, which.project, what=f"Project {which.project!r}")
        async with self._database.snapshot() as tx:
            return await Requests(tx).page(which, projects=projects, before=before, limit=limit)

    async def get(self, caller: Caller, request_id: str) -> LoggedRequest:
        """The facts of one request. Raises NotFoundError."""
        async with self._database.snapshot() as tx:
            return await _request(tx, caller, request_id, Permission.USAGE_READ)

    async def read_bodies(self, caller: Caller, request_id: str) -> RequestBodies:
        """The bodies of one request; that they were read is in the audit log. Raises NotFoundError."""
        async with self._database.transaction() as tx:
            request = await _request(tx, caller, request_id, Permission.BODY_READ)
            rule = await RequestLogRules(tx).find(request.project)
            kept = await StoredBodies(tx).find(request_id) if rule else None
            if rule is None or kept is None:
                raise NotFoundError(
                    f"No bodies of request {request_id!r} are kept.",
                    hint="They are kept where the project's request log says so, until its retention ends.",
                )
            await Events(tx).audit(
                caller, self._clock.now(), "request.read_body", "logged_request", request_id, project=request.project
            )
        until = request.started_at + timedelta(days=rule.retention_days)
        return RequestBodies(
            request_id=request_id, project=request.project, request=kept[0], answer=kept[1], kept_until=until
        )

    async def _audit(
        self, tx: Transaction, caller: Caller, action: str, before: RequestLogRule | None, after: RequestLogRule
    ) -> None:
        shown = [rule.model_dump(mode="json", exclude=_NOT_OF_A_RULE) if rule else {} for rule in (before, after)]
        project, details = after.project, difference(*shown)
        message = f"bodies: {after.bodies.value}."
        await Events(tx).audit(
            caller, self._clock.now(), action, "project", project, project=project, message=message, details=details
        )


async def _require_project(tx: Transaction, name: str) -> None:
    if await Projects(tx).find(name) is None:
        raise NotFoundError(f"Project {name!r} does not exist.")


async def _request(tx: Transaction, caller: Caller, request_id: str, permission: Permission) -> LoggedRequest:
    """Who may not see a request at all cannot tell whether there is one."""
    request = await Requests(tx).find(request_id)
    if request is None or not caller.may(Permission.USAGE_READ, request.project):
        raise NotFoundError(f"There is no request {request_id!r}.", hint="It is here a second after its end.")
    caller.require(permission, request.project, what=f"Request {request_id!r}")
    return request


def _check_patterns(patterns: list[str]) -> None:
    for pattern in patterns:
        try:
            OwnPattern(pattern)
        except ValueError as error:
            raise InvalidError(
                f"The pattern {pattern!r} is refused: {error}.",
                hint="Write one that is short and bounded, such as EMP-[0-9]{4,8}.",
                details={"fields": {"patterns": "unsafe"}},
            ) from error
