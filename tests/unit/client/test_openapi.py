"""The Python client can do what REST can: every operation and every parameter of it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache

import pytest
from tests.support.openapi import Operation, operations

from aicp import client
from aicp.client import records, requests

MODULES = [importlib.import_module(module.name) for module in pkgutil.iter_modules(client.__path__, "aicp.client.")]
NO_METHOD = {
    "healthz": "for whoever restarts processes",
    "readyz": "for load balancers",
    "playground_get": "applications use an OpenAI client with an API key",
    "playground_post": "applications use an OpenAI client with an API key",
}
"""Operations without a method, and why."""
NO_PARAMETER = {
    "sort": "a program sorts what it has",
    "before": "logs are read on, as far as `limit` says",
    "offset": "lists are read whole, as many pages as they have",
    "limit": "lists are read whole, as many pages as they have",
}
"""Query parameters that no method needs to have, and why."""
_VERBS = {"get": "GET", "every": "GET", "lines": "GET", "events": "GET", "post": "POST", "patch": "PATCH"}


@cache
def calls() -> dict[tuple[str, str], set[str]]:
    """(method, path with {} for its variables) of every request in the client's source -> words of its functions."""
    found: dict[tuple[str, str], set[str]] = {}
    for module in MODULES:
        for function in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(function, ast.FunctionDef):
                words = _words(function)
                for request in _requests(function):
                    found.setdefault(request, set()).update(words)
    return found


def _requests(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    assigned = {
        statement.targets[0].id: statement.value
        for statement in ast.walk(function)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    for call in ast.walk(function):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        arguments = [assigned.get(a.id, a) if isinstance(a, ast.Name) else a for a in call.args]
        texts = [_text(argument) for argument in arguments]
        verb = call.func.attr
        if verb == "send" and len(texts) > 1:
            yield texts[0], texts[1]
        elif texts and texts[0].startswith("/api/"):
            yield _VERBS.get(verb, verb.upper()), texts[0]


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join("{}" if isinstance(part, ast.FormattedValue) else _text(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _words(function: ast.FunctionDef) -> set[str]:
    arguments = {argument.arg for argument in [*function.args.args, *function.args.kwonlyargs]}
    for argument in function.args.args:
        name = ast.unparse(argument.annotation) if argument.annotation else ""
        for module in (records, requests):
            arguments |= set(getattr(getattr(module, name, None), "__dataclass_fields__", ()))
    return arguments


def _key(operation: Operation) -> tuple[str, str]:
    return operation.method, re.sub(r"\{[^}]*\}", "{}", operation.path)


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.id)
def test_every_operation_has_a_method_with_its_parameters(operation: Operation) -> None:
    found = calls().get(_key(operation))
    if operation.id in NO_METHOD:
        assert found is None, f"{operation.id} has a method by now; take it off the table"
        return
    assert found is not None, f"no method of the client does {operation.id} ({operation.method} {operation.path})"
    missing = {name for name in operation.query if name not in found} - NO_PARAMETER.keys()
    assert not missing, f"the method for {operation.id} lacks {sorted(missing)}"


def test_the_tables_name_what_exists() -> None:
    assert set(NO_METHOD) <= {operation.id for operation in operations()}
    assert set(NO_PARAMETER) <= {name for operation in operations() for name in operation.query}
