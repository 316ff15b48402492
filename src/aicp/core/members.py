"""Reports of several nodes on the members of one replica, told as one."""

from __future__ import annotations

from collections.abc import Sequence

from aicp.core.launch import ObservedReplica


def merge_reports(reports: Sequence[ObservedReplica]) -> ObservedReplica:
    """What several nodes say of the same replica as one: its address is that of the member which has one."""
    if len(reports) == 1:
        return reports[0]
    generation = max(report.generation for report in reports)
    newest = [report for report in reports if report.generation == generation]
    leader = next((report for report in newest if report.address), newest[0])
    return leader.model_copy(update={"members": [member for report in newest for member in report.members]})
