"""What must not be kept is taken out of a body, however it is written and wherever the body is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aicp.core.request_log import Redactor as Name
from aicp.security.keys import make_key
from aicp.security.own_patterns import OwnPattern
from aicp.security.passes import make_pass
from aicp.security.redacted_json import redact_json
from aicp.security.redactors import Redactor

ALL = Redactor([name.value for name in Name])
SECRETS = (
    make_key().secret,
    make_pass(b"p" * 32, "key_0123456789abcdef", 1_700_000_000),
    "sk-proj-Ab12Cd34Ef56Gh78Ij90",
    "hf_AbCdEfGhIjKlMnOpQr12",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_AbCdEfGhIjKlMnOpQrSt123456",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----",
)
PERSONAL = {
    "ann.lee+x@mail.example.org": "email",
    "Wei@公司.example.tw": "email",
    "+886 912 345 678": "phone",
    "0912-345-678": "phone",
    "13812345678": "phone",
    "(02) 2345-6789": "phone",
    "415-555-2671": "phone",
    "4111 1111 1111 1111": "card",
    "5500-0000-0000-0004": "card",
    "340000000000009": "card",
    "11010519491231002X": "id",
    "A123456789": "id",
    "10.1.22.3": "ip",
    "2001:db8::8a2e:370:7334": "ip",
}
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.sampled_from(SECRETS), _texts, _texts, st.booleans())
@example(SECRETS[0], "line\n", "", True)
@example(SECRETS[0], "word", "", True)
@example(SECRETS[0], "[", "]", False)
@settings(max_examples=200, deadline=None)
def test_no_secret_survives_in_any_writing_of_json(secret: str, before: str, after: str, ascii_only: bool) -> None:
    """`after` begins with a space: what is glued to a key's end is taken for more of it, which is as well."""
    body = json.dumps({"messages": [{"role": "user", "content": f"{before}{secret} {after}"}]}, ensure_ascii=ascii_only)
    clean = redact_json(body, ALL)
    assert secret not in json.loads(clean)["messages"][0]["content"]
    assert secret not in clean


@given(st.sampled_from(SECRETS[:6]))
def test_a_secret_written_in_escapes_is_found(secret: str) -> None:
    escaped = "".join(f"\\u{ord(character):04x}" for character in secret)
    assert json.loads(redact_json(f'{{"a":"{escaped}"}}', ALL)) == {"a": "[redacted:secret]"}


@pytest.mark.parametrize(("text", "kind"), PERSONAL.items())
def test_personal_data(text: str, kind: str) -> None:
    assert ALL.text(f"Write {text}, please.") == f"Write [redacted:{kind}], please."
    assert text in Redactor().text(f"Write {text}, please."), "only what the project names is taken out"


@pytest.mark.parametrize(
    "text",
    [
        "The task-management-system of version 1.2.3 took 0.1234567890123456 s at 12:34:56 on 2026-01-31.",
        "basic understanding, bearer of news, max_tokens: 100",
        "Room 4111, order 1234 5678, a::b, std::vector",
        '{"id": "chatcmpl-abc", "created": 1767225600, "token": "Hel"}',
    ],
)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert redact_json(text, ALL) == text
    assert ALL.text(text) == text


def test_a_fields_name_says_that_it_is_secret() -> None:
    body = {
        "password": "x1",
        "api_key": "short",
        "client_secret": 12345,
        "token": "opaque-token-value",
        "n": 4111111111111111,
    }
    clean = json.loads(redact_json(json.dumps(body), ALL))
    assert clean == dict.fromkeys(("password", "api_key", "client_secret", "token"), "[redacted:secret]") | {
        "n": "[redacted:card]"
    }


@pytest.mark.parametrize(
    "text",
    [
        "password = 'hunter2'",
        "{'api_key': 'hunter2'}",
        "api_key='hunter2'",
        'password: "hunter2"',
        'curl -d "{\\"password\\": \\"hunter2\\"}" http://a.example',
        'sh -c "curl -d \\"{\\\\\\"password\\\\\\": \\\\\\"hunter2\\\\\\"}\\""',
        "aws_secret_access_key = hunter2/K7MDENG",
        "SECRET_KEY=hunter2",
        "passphrase: hunter2",
        "AWS_SESSION_TOKEN=hunter2",
        "dbPassword = hunter2\\x",
    ],
)
def test_values_with_a_secret_name_in_prose(text: str) -> None:
    assert "hunter2" not in ALL.text(text)
    assert "[redacted:secret]" in ALL.text(text)
    assert "hunter2" not in redact_json(json.dumps({"messages": [{"content": text}]}), ALL)
    assert "hunter2" not in redact_json(json.dumps({"arguments": json.dumps({"a": text})}), ALL)


@pytest.mark.parametrize(
    "name",
    ["db_password", "OPENAI_API_KEY", "secret_key", "aws_secret_access_key", "dbPassword", "x-api-key", "privateKey"],
)
def test_a_word_may_stand_before_a_secret_name(name: str) -> None:
    body = {name: "x1", "lists": {name: ["ab", None, 'c"d'], "user": "ann"}, "names": [name, "ann"]}
    hidden = "[redacted:secret]"
    assert json.loads(redact_json(json.dumps(body, indent=9), ALL)) == {
        name: hidden,
        "lists": {name: [hidden, None, hidden], "user": "ann"},
        "names": [name, "ann"],
    }


def test_names_that_only_hold_a_secret_name_say_nothing() -> None:
    body = {
        "max_tokens": 1000,
        "usage": {"prompt_tokens": 1000, "cached_tokens": 12345},
        "secretary": "Alice",
        "password_policy": "strict",
        "properties": {"password": {"type": "string"}, "required": ["password", "username"]},
        "token": ["Hel", "lo"],
        "eos_token_id": 12345,
        "note": "the secretary: Alice, password_policy=strict, max_tokens: 1000, public_key: shown, secrets: none",
    }
    text = json.dumps(body)
    assert redact_json(text, ALL) == text


@pytest.mark.parametrize(
    "piece", ["a_", "password:", "\\", "'secret' : '", 'a\\"password\\"', "aB", "token", "key = \\"]
)
def test_long_texts_of_what_begins_like_a_secret_are_done_with(piece: str) -> None:
    """What took more than time in proportion would not end here."""
    text = piece * (400_000 // len(piece))
    ALL.text(text)
    redact_json(json.dumps({text: [text]}), ALL)


def test_json_within_json_and_a_cut_end() -> None:
    inner = json.dumps({"password": "hunter2", "note": "line\nann@example.org"})
    clean = json.loads(redact_json(json.dumps({"arguments": inner}), ALL))
    assert json.loads(clean["arguments"]) == {"password": "[redacted:secret]", "note": "line\n[redacted:email]"}
    assert redact_json('{"a":"ann@example.org, \\u00', ALL) == '{"a":"[redacted:email], "'


def test_a_cards_number_among_others_is_found() -> None:
    assert ALL.text("12 35 4111 1111 1111 1111 99") == "12 35 [redacted:card] 99"


def test_a_picture_becomes_its_size() -> None:
    assert ALL.text("data:image/png;base64," + "A" * 400) == "[image/png, 300 bytes]"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a+)+b", "without an end"),
        ("a*b", "without an end"),
        ("(a{1,9}){1,9}b", "256 ways"),
        (r"\w{1,64}\s{0,9}\w{1,64}", "256 ways"),
        (r"(a)\1", "reference to a group"),
        ("a{0,5}", "where nothing is"),
        ("a{1000}", "512 characters"),
        ("(", "no regular expression"),
        ("[ab]{1,256}(?:[ab][ab]){127}c", "steps from one place"),
        ("a{1,256}(?=a{2000}b)", "looks further than"),
        ("a(?=(?=a{65}b))", "looks further than"),
    ],
)
def test_an_own_pattern_that_can_be_slow_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        OwnPattern(pattern)


@pytest.mark.parametrize("pattern", [r"(?<=id: )\d{6,12}", r"[A-Z]{2}\d{2}[A-Z0-9]{10,30}", r"\w{1,64}@corp\.example"])
def test_usual_patterns_are_taken(pattern: str) -> None:
    OwnPattern(pattern)


@given(st.integers(0, 3000), st.integers(0, 3000))
@settings(max_examples=60, deadline=None)
def test_an_own_pattern_is_found_wherever_it_stands(before: int, after: int) -> None:
    """It is looked for in windows: their borders hide nothing and make nothing up."""
    text = "x" * before + " EMP-12345 " + "y" * after
    own = Redactor(patterns=[r"\bEMP-\d{4,8}\b"])
    assert own.text(text) == text.replace("EMP-12345", "[redacted:custom]")
    assert Redactor(patterns=[r"\bx{1,9}\b"]).text("x" * before) == (
        "x" * before if before > 9 or not before else "[redacted:custom]"
    )
