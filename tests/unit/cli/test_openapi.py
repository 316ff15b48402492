"""The command line can do what REST can: a command for every operation, an option for every parameter of it."""

from __future__ import annotations

import pytest
import typer
import typer.main
from tests.support.openapi import Operation, operations
from typer.core import TyperGroup

from aicp.cli import app as cli

COMMANDS = {
    "advise_pool": ["pool advise"],
    "cache_stats": ["cache stats"],
    "cancel_batch": ["batch cancel"],
    "cancel_job": ["job cancel"],
    "change_password": ["user password"],
    "create_batch": ["batch create"],
    "create_file": ["file create"],
    "create_join_token": ["node token"],
    "create_key": ["key create"],
    "create_model": ["model create"],
    "create_pool": ["pool create"],
    "create_reservation": ["reservation create"],
    "create_project": ["project create"],
    "create_provider": ["provider create"],
    "create_route": ["route create"],
    "create_service": ["publish"],
    "create_upload": ["model import"],
    "create_user": ["user create"],
    "delete_cache_rule": ["cache delete"],
    "delete_file": ["file delete"],
    "delete_listener": ["listener delete"],
    "delete_model": ["model delete"],
    "delete_model_alias": ["model alias"],
    "delete_join_token": ["node token-rm"],
    "delete_model_version": ["model delete"],
    "delete_node": ["node rm"],
    "defragment_pool": ["pool defragment"],
    "delete_pool": ["pool rm"],
    "delete_reservation": ["reservation rm"],
    "delete_price": ["price delete"],
    "delete_project": ["project delete"],
    "delete_provider": ["provider delete"],
    "delete_request_log_rule": ["request-log delete"],
    "delete_route": ["route delete"],
    "delete_service": ["service delete"],
    "delete_upload": ["upload delete"],
    "delete_user": ["user delete"],
    "drain_node": ["node drain"],
    "export_audit": ["audit"],
    "export_usage": ["usage"],
    "follow_job": ["job wait"],
    "get_batch": ["batch show"],
    "get_drain_plan": ["node drain"],
    "get_engine": ["engine show"],
    "get_file": ["file show"],
    "get_file_content": ["file content", "batch results"],
    "get_job": ["job show"],
    "get_key": ["key show"],
    "get_metrics": ["metrics"],
    "get_model": ["model show"],
    "get_model_version": ["model show"],
    "get_node": ["node show"],
    "get_overview": ["overview"],
    "get_catalog_accelerator": ["accelerator show"],
    "get_defragmentation": ["pool defragment"],
    "get_pool": ["pool show"],
    "get_pool_view": ["pool show"],
    "get_project": ["project show"],
    "get_provider": ["provider show"],
    "get_replica": ["service replica"],
    "get_replica_log": ["logs"],
    "get_request": ["request show"],
    "get_request_body": ["request show"],
    "get_request_log_rule": ["request-log show"],
    "get_route": ["route show"],
    "get_service": ["service show"],
    "get_service_log": ["logs"],
    "get_session": ["status"],
    "get_traffic": ["traffic"],
    "get_upload": ["model import"],
    "get_user": ["user show"],
    "get_version": ["status"],
    "import_model": ["model import"],
    "install_engine": ["engine install"],
    "invalidate_cache": ["cache clear"],
    "list_audit": ["audit"],
    "list_batches": ["batch list"],
    "list_cache_rules": ["cache list"],
    "list_accelerator_catalog": ["accelerator catalog"],
    "list_catalog": ["model catalog"],
    "list_engines": ["engine list"],
    "list_events": ["events"],
    "list_files": ["file list"],
    "list_gateways": ["gateway list"],
    "list_join_tokens": ["node tokens"],
    "list_jobs": ["job list"],
    "list_keys": ["key list"],
    "list_limit_use": ["key use"],
    "list_listeners": ["listener list"],
    "list_members": ["project members"],
    "list_model_versions": ["model show"],
    "list_models": ["model list"],
    "list_node_replicas": ["node show"],
    "list_nodes": ["node list"],
    "list_organizations": ["project organizations"],
    "list_pools": ["pool list"],
    "list_reservations": ["reservation list"],
    "list_ports": ["port list"],
    "list_prices": ["price list"],
    "list_projects": ["project list"],
    "list_providers": ["provider list"],
    "list_replicas": ["service show"],
    "list_request_log_rules": ["request-log list"],
    "list_requests": ["request list"],
    "list_revisions": ["service history"],
    "list_routes": ["route list"],
    "list_services": ["service list"],
    "list_uploads": ["upload list"],
    "list_usage": ["usage"],
    "list_users": ["user list"],
    "list_waiting_replicas": ["service why"],
    "login": ["login"],
    "logout": ["logout"],
    "plan_service": ["publish"],
    "plan_service_change": ["service update"],
    "playground_post": ["chat"],
    "put_upload_piece": ["model import"],
    "remove_engine": ["engine remove"],
    "remove_member": ["project withdraw"],
    "revoke_key": ["key revoke"],
    "rollback_service": ["service rollback"],
    "rotate_key": ["key rotate"],
    "set_cache_rule": ["cache set"],
    "set_listener": ["listener set"],
    "set_member": ["project grant"],
    "set_model_alias": ["model alias"],
    "set_price": ["price set"],
    "set_request_log_rule": ["request-log set"],
    "summarize_usage": ["usage"],
    "update_key": ["key update"],
    "update_model": ["model update"],
    "update_node": ["node cordon", "node uncordon", "node set-pool", "node label", "node taint"],
    "update_organization": ["project limit-organization"],
    "update_pool": ["pool edit"],
    "update_project": ["project update"],
    "update_provider": ["provider update"],
    "update_route": ["route update"],
    "update_service": ["service update", "service scale", "service stop", "service start"],
    "update_user": ["user update", "user disable", "user enable", "user password"],
}
NO_COMMAND = {
    "healthz": "for whoever restarts processes; a person asks `aicp status`",
    "playground_get": "what a command lists, it lists from /api/v1",
    "readyz": "for load balancers; a person asks `aicp status`",
    "set_preferences": "the console's language, chosen there",
    "stream_changes": "for programs that mirror the platform; commands that wait follow their own object",
}
"""Operations without a command, and why."""
OPTION = {
    "accelerators": "cards",
    "add_nodes": "node",
    "api_key_id": "key",
    "arms": "to",
    "context_length": "context",
    "cpu_cores": "cpu",
    "defaults": "default",
    "endpoints": "endpoint",
    "ends_at": "until",
    "engine_flags": "flag",
    "expires_at": "expires",
    "input_file_id": "input_file",
    "fallbacks": "fallback",
    "labels": "label",
    "license": "license_",
    "limits": "limit",
    "memory_bytes": "memory",
    "memory_oversubscription": "oversubscribe",
    "kv_percent": "target_kv",
    "models": "model",
    "networks": "network",
    "platform_roles": "role",
    "projects": "project",
    "queued_per_replica": "target_queue",
    "quotas": "quota",
    "running_per_replica": "target_running",
    "replicas": "replica",
    "slice": "slice_",
    "starts_at": "start",
    "tags": "tag",
    "tolerations": "tolerate",
    "ttft_ms": "target_ttft_ms",
    "type": "type_",
    "windows": "window",
}
"""Fields whose option has another name."""
NO_OPTION = {
    "sort": "tables come in one order",
    "before": "logs are read on, as far as --limit says",
    ("*", "offset"): "lists are shown whole",
    ("*", "limit"): "lists are shown whole",
    ("create_upload", "files"): "found in the folder",
    ("advise_pool", "services"): "in the file",
    ("advise_pool", "cards"): "in the file",
    ("advise_pool", "reserve_bytes"): "in the file",
    ("create_user", "password"): "made and shown once; `user password NAME` sets another",
    ("update_user", "password"): "typed, see `user password`",
    ("update_user", "disabled"): "`user disable` and `user enable`",
    ("update_node", "cordoned"): "`node cordon` and `node uncordon`",
    ("plan_service_change", "stopped"): "stopping needs no plan",
    ("update_service", "stopped"): "`service stop` and `service start`",
    ("change_password", "current"): "typed: an option would stand in the shell's history",
    ("change_password", "new"): "typed: an option would stand in the shell's history",
}
"""Parameters without an option, and why; `*` is every list that is no log of what happened."""
LOGS = {"list_audit", "list_events", "list_jobs", "list_requests", "list_usage"}


def commands() -> dict[str, set[str]]:
    """Every command and the names of its parameters."""
    root = typer.main.get_command(cli.app)
    assert isinstance(root, TyperGroup)
    found: dict[str, set[str]] = {}
    for name, command in root.commands.items():
        inner = command.commands.items() if isinstance(command, TyperGroup) else [("", command)]
        for word, one in inner:
            found[f"{name} {word}".strip()] = {parameter.name or "" for parameter in one.params}
    return found


def _excused(operation: Operation, name: str) -> bool:
    everywhere = name in NO_OPTION or (operation.id not in LOGS and ("*", name) in NO_OPTION)
    return everywhere or (operation.id, name) in NO_OPTION


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.id)
def test_every_operation_has_a_command_with_its_options(operation: Operation) -> None:
    if operation.id in NO_COMMAND:
        assert operation.id not in COMMANDS
        return
    assert operation.id in COMMANDS, f"{operation.id} needs a command, or a reason in NO_COMMAND"
    known = commands()
    options: set[str] = set().union(*(known[words] for words in COMMANDS[operation.id]))
    wanted = operation.query | operation.fields
    missing = {name for name in wanted if OPTION.get(name, name) not in options and name not in options}
    left = {name for name in missing if not _excused(operation, name)}
    assert not left, f"{COMMANDS[operation.id]} lacks {sorted(left)} of {operation.id}"


def test_the_tables_name_what_exists() -> None:
    known = {operation.id for operation in operations()}
    assert COMMANDS.keys() | NO_COMMAND.keys() == known
