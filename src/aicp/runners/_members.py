"""Members of one replica under several agents: started together, and their reports told as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aicp.client.agent import AgentClient
from aicp.core.errors import UnavailableError
from aicp.core.launch import ObservedReplica, ReplicaLaunch


async def start_members(agents: Sequence[AgentClient], launch: ReplicaLaunch) -> ObservedReplica:
    """Starts each member by its agent, in the order of the members.

    A node that does not answer may have started its member; to try again is right then. What any of them refuses ends
    the others.
    """
    answers = await asyncio.gather(*(agent.start(launch) for agent in agents), return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    refusal = next((error for error in errors if not isinstance(error, UnavailableError)), None)
    if refusal is not None:
        started = [agent for agent, answer in zip(agents, answers, strict=True) if isinstance(answer, ObservedReplica)]
        stops = (agent.stop(launch.replica_id, generation=launch.generation, grace_seconds=0) for agent in started)
        await asyncio.gather(*stops, return_exceptions=True)
    if errors:
        raise refusal or errors[0]
    return merge_reports([answer for answer in answers if isinstance(answer, ObservedReplica)])


def merge_reports(reports: Sequence[ObservedReplica]) -> ObservedReplica:
    """What several nodes say of the same replica as one: its address is that of the member which has one."""
    if len(reports) == 1:
        return reports[0]
    generation = max(report.generation for report in reports)
    newest = [report for report in reports if report.generation == generation]
    leader = next((report for report in newest if report.address), newest[0])
    return leader.model_copy(update={"members": [member for report in newest for member in report.members]})
