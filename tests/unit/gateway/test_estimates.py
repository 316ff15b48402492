"""What a request may take before its engine has counted, and what an engine's counts are worth."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.gateway_process import entry_of, new_secret

from aicp.gateway.api_keys import Key
from aicp.gateway.bodies import read_fields
from aicp.gateway.calls import Call, estimate
from aicp.gateway.detours import copy_of
from aicp.gateway.endpoints import CHAT, COMPLETIONS, RESPONSES, Endpoint
from aicp.gateway.forms import Form
from aicp.gateway.key_rules import apply_rules
from aicp.gateway.reports import Usage
from aicp.gateway.streams import ChatStream
from aicp.gateway.tokens import Tokens


@pytest.mark.parametrize(
    ("path", "fields", "output"),
    [
        (CHAT.path, {}, 256),
        (CHAT.path, {"max_tokens": 7}, 7),
        (CHAT.path, {"max_completion_tokens": None, "max_tokens": 1000}, 1000),
        (CHAT.path, {"max_completion_tokens": 1, "max_tokens": 1000}, 1000),
        (CHAT.path, {"max_tokens": "many"}, 256),
        (CHAT.path, {"max_tokens": -5}, 256),
        (CHAT.path, {"max_tokens": 10, "n": 4}, 40),
        (CHAT.path, {"max_tokens": 10, "n": None}, 10),
        (COMPLETIONS.path, {"prompt": "a", "max_tokens": 10, "n": 2, "best_of": 3}, 30),
        (COMPLETIONS.path, {"prompt": ["a", "b", "c"], "max_tokens": 10}, 30),
        (COMPLETIONS.path, {"prompt": [1, 2, 3], "max_tokens": 10}, 10),
        (COMPLETIONS.path, {"prompt": [[1, 2], [3]], "max_tokens": 10, "n": 2}, 40),
        ("/v1/embeddings", {"input": "a"}, 0),
    ],
)
def test_all_output_that_may_come_is_reserved(path: str, fields: dict[str, Any], output: int) -> None:
    body = json.dumps(fields).encode()
    call = Call(path, body, False, lambda tokens, name: ChatStream(tokens, show_usage=True))
    assert estimate(call, read_fields(body))[1] == output


@pytest.mark.parametrize(
    ("endpoint", "given", "field"),
    [
        (CHAT, {"max_output_tokens": 1}, "max_tokens"),
        (CHAT, {"max_tokens": None}, "max_tokens"),
        (RESPONSES, {"max_tokens": 1}, "max_output_tokens"),
        (COMPLETIONS, {"max_completion_tokens": 1}, "max_tokens"),
    ],
)
def test_the_maximum_of_a_key_holds_whatever_another_schema_calls_it(
    endpoint: Endpoint, given: dict[str, Any], field: str
) -> None:
    key = Key(replace(entry_of(new_secret()), max_output_tokens=50))
    fields = read_fields(json.dumps(given).encode())
    apply_rules(key, endpoint, fields)
    assert bytes(fields[field]) == b"50"


def test_counts_that_are_none_are_not_believed() -> None:
    tokens = Tokens()
    tokens.update(Usage(prompt_tokens=-5, completion_tokens=2**40))
    assert (tokens.prompt, tokens.completion) == (None, None)
    tokens.update(Usage(prompt_tokens=3, completion_tokens=4))
    tokens.update(Usage(prompt_tokens=-1))
    assert (tokens.prompt, tokens.completion) == (3, 4)


def test_a_form_stays_a_form_on_its_way_elsewhere() -> None:
    form = Form.__new__(Form)
    assert copy_of(form) is form
    fields = read_fields(b'{"a":1}')
    assert copy_of(fields) is not fields
