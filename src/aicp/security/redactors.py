"""Takes out of a request's body what must not be kept: secrets always, and of personal data what a project names.

All patterns here take time in proportion to the text, whatever it holds: their repetitions never give back what they
have taken (`++`), or are short. Who adds one keeps to that.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable

from aicp.security.own_patterns import OwnPattern
from aicp.security.windows import replace_in_windows

_SIGNS = r"[0-9A-Za-z_-]"
_HAS_DIGIT = r"(?=[A-Za-z._~+/=-]{0,64}[0-9])"
_PLAIN = r"[^\s\"'\\,;&}]"
"""What a value without a space is made of, but for backslashes."""
_SECRETS = tuple(
    (needles, re.compile(pattern))
    for needles, pattern in (
        (
            ("-----begin",),
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
        ),
        # keys of this platform and of those that took over the form, also where a word stands before them
        (("sk-",), rf"sk-(?=[A-Za-z_-]{{0,64}}[0-9]){_SIGNS}{{16,}}+"),
        (("sk-",), rf"\bsk-{_SIGNS}{{16,}}+"),
        (("aicp-session-",), rf"aicp-session-{_SIGNS}{{16,}}+"),
        (("aicp-join-",), rf"aicp-join-{_SIGNS}{{16,}}+"),
        (("pass.key_",), r"pass\.key_[0-9a-z]{1,40}+\.[0-9]{1,12}+\.[0-9a-f]{16,}+"),
        (("hf_",), r"hf_[0-9A-Za-z]{16,}+"),
        (("akia", "asia"), r"A[KS]IA[0-9A-Z]{16}"),
        (("aiza",), r"AIza[0-9A-Za-z_-]{35}"),
        (("gho_", "ghp_", "ghr_", "ghs_", "ghu_"), r"gh[oprsu]_[0-9A-Za-z]{20,}+"),
        (("github_pat_",), r"github_pat_[0-9A-Za-z_]{20,}+"),
        (("glpat-",), rf"glpat-{_SIGNS}{{16,}}+"),
        (("xox",), r"xox[abeoprs]-[0-9A-Za-z-]{10,}+"),
        (("eyj",), rf"(?<!{_SIGNS})eyJ{_SIGNS}{{8,}}+\.{_SIGNS}{{8,}}+\.{_SIGNS}{{8,}}+"),
        (("bearer", "basic"), rf"(?i:\b(?:bearer|basic)\s{{1,8}}+){_HAS_DIGIT}[0-9A-Za-z._~+/=-]{{8,}}+"),
        # the user part of an address, and the signatures of signed ones
        (("://",), r"(?<=://)[^/\s@\"']{1,256}+(?=@)"),
        (
            ("signature=", "token=", "credential=", "sig="),
            r"(?i:[?&](?:x-amz-signature|x-amz-credential|x-amz-security-token|signature|token|sig)=)[^&\s\"']++",
        ),
        (
            ("passw", "passphrase", "secret", "key", "token"),
            # in quotes of either kind, also where these stand in a string and have a backslash before them
            r"(?i:(?:password|passwd|passphrase|secret(?:[_-]?(?:access[_-]?)?key)?|api[_-]?key|private[_-]?key|"
            r"api[_-]?token|access[_-]?token|auth[_-]?token|refresh[_-]?token|session[_-]?token)"
            r"\\{0,7}+[\"']?\s{0,4}[=:]\s{0,4}\\{0,7}+[\"']?)"
            rf"(?!\\|\[redacted:)(?=[^\s\"',;&}}]{{4}}){_PLAIN}*+(?:\\(?!\\{{0,6}}[\"']){_PLAIN}*+)*+",
        ),
    )
)
"""Each with words of which one must be there, in small letters: looking for a word is far quicker."""
_SECRET_NAMES = re.compile(
    r"(?:[A-Za-z0-9]{1,40}+[_-]){0,4}(?:[a-z0-9]{1,40}(?=[A-Z]))?"  # `db_password`, `dbPassword`
    r"(?i:passw(?:or)?d|passphrase|secret|client_?secret|secret[_-]?(?:access[_-]?)?key|(?:api|private)[_-]?key|"
    r"authorization|(?:access|api|auth|refresh|session|id)[_-]?token)"
)
_LEAST_TOKEN = 12
"""A shorter text under the name `token` is a piece of what a model said."""
_EMAIL = re.compile(r"[\w.%+-]{1,64}+@(?:[\w-]{1,63}+\.){1,8}[\w-]{2,24}")
_PHONES = re.compile(
    r"\+[ (]?\d(?:[ ().-]{0,2}\d){7,14}"
    r"|(?<![\d.+])(?:"
    r"09\d\d[ -]?\d{3}[ -]?\d{3}"  # Taiwan, mobile
    r"|1[3-9]\d[ -]?\d{4}[ -]?\d{4}"  # China, mobile
    r"|\(?0\d{1,3}\)?[ -]\d{3,4}[ -]?\d{4}"  # with an area code
    r"|\(?[2-9]\d\d\)?[ .-]\d{3}[ .-]\d{4}"  # North America
    r")(?![\d])"
)
_DIGITS = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,}+")
_DIGIT_GROUPS = re.compile(r"\d+")
_IDS = re.compile(
    r"(?<![0-9A-Za-z.])(?:"
    r"[1-9]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]"  # China
    r"|[A-Z][1289]\d{8}"  # Taiwan
    r")(?![0-9A-Za-z])"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV4 = re.compile(rf"(?<![\d.]){_OCTET}(?:\.{_OCTET}){{3}}(?!\.?\d)")
_IPV6 = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f:]{2,39}+(?![0-9A-Za-z:])")
_DATA_URL = re.compile(r"data:([a-z]{1,16}/[a-z0-9.+-]{1,64});base64,([A-Za-z0-9+/=_-]{64,}+)")
_LONGEST_EMAIL, _LONGEST_PHONE, _LONGEST_ADDRESS, _SHORT_ADDRESS = 640, 64, 40, 6
_SHORTEST = 6
"""Nothing that is taken out is shorter."""
_SEVERAL_DIGITS = re.compile(r"\d\D{0,3}\d\D{0,3}\d\D{0,3}\d")
_LEAST_CARD, _LONGEST_CARD = 13, 19


def mask(kind: str) -> str:
    """What stands where something was taken out."""
    return f"[redacted:{kind}]"


class Redactor:
    """Takes out secrets, what `names` say, and own `patterns`. Raises ValueError for a pattern that is refused."""

    def __init__(self, names: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        wanted = set(names)
        self._steps = [(needs_digits, step) for name, needs_digits, step in _STEPS if name in wanted]
        self._own = [OwnPattern(pattern) for pattern in patterns]

    def text(self, text: str) -> str:
        """`text` without all that. Media that stand in it as data become a word and their size."""
        if len(text) < _SHORTEST and not self._own:
            return text
        if ";base64," in text:
            text = _DATA_URL.sub(lambda match: f"[{match[1]}, {len(match[2]) * 3 // 4} bytes]", text)
        text = _secrets(text)
        numbers = _SEVERAL_DIGITS.search(text) is not None
        for needs_digits, step in self._steps:
            if numbers or not needs_digits:
                text = step(text)
        for own in self._own:
            text = own.replace(text, _OWN)
        return text


def is_secret(name: str, value: str) -> bool:
    """Whether a field's name says that its value is a secret, whatever that looks like."""
    if name.lower() == "token":
        return len(value) >= _LEAST_TOKEN and " " not in value
    return _SECRET_NAMES.fullmatch(name) is not None


_SECRET, _OWN = mask("secret"), mask("custom")


def _secrets(text: str) -> str:
    small = text.lower()
    for needles, pattern in _SECRETS:
        for needle in needles:
            if needle in small:
                text = pattern.sub(_SECRET, text)
                break
    return text


def _emails(text: str) -> str:
    return replace_in_windows(_EMAIL, _LONGEST_EMAIL, text, mask("email")) if "@" in text else text


def _phones(text: str) -> str:
    return replace_in_windows(_PHONES, _LONGEST_PHONE, text, mask("phone"))


def _cards(text: str) -> str:
    return _DIGITS.sub(lambda match: _without_cards(match[0]), text)


def _ids(text: str) -> str:
    return replace_in_windows(_IDS, _LONGEST_ADDRESS, text, mask("id"))


def _old_addresses(text: str) -> str:
    return replace_in_windows(_IPV4, _LONGEST_ADDRESS, text, mask("ip")) if "." in text else text


def _addresses(text: str) -> str:
    if text.count(":") < 2:
        return text
    return replace_in_windows(_IPV6, _LONGEST_ADDRESS, text, mask("ip"), _is_address)


def _is_address(found: str) -> bool:
    if found.count(":") < 2 or len(found) < _SHORT_ADDRESS:
        return False  # names of C++ look like short ones
    try:
        ipaddress.IPv6Address(found)
    except ValueError:
        return False
    return True


def _without_cards(digits: str) -> str:
    """Groups of digits in a row may hold a card's number at any of their edges."""
    groups = [match.span() for match in _DIGIT_GROUPS.finditer(digits)]
    made: list[str] = []
    place = first = 0
    while first < len(groups):
        last = _end_of_card(digits, groups, first)
        if last is None:
            first += 1
            continue
        made += [digits[place : groups[first][0]], mask("card")]
        place, first = groups[last][1], last + 1
    return "".join([*made, digits[place:]])


def _end_of_card(digits: str, groups: list[tuple[int, int]], first: int) -> int | None:
    number = ""
    for last in range(first, len(groups)):
        start, end = groups[last]
        if len(number) + end - start > _LONGEST_CARD:
            return None
        number += digits[start:end]
        if len(number) >= _LEAST_CARD and _is_card(number):
            return last
    return None


def _is_card(number: str) -> bool:
    if number[0] not in "23456":
        return False
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


_STEPS: tuple[tuple[str, bool, Callable[[str], str]], ...] = (
    ("emails", False, _emails),
    ("credit_cards", True, _cards),
    ("chinese_ids", True, _ids),
    ("phone_numbers", True, _phones),
    ("ip_addresses", True, _old_addresses),
    ("ip_addresses", False, _addresses),
)
"""In this order: a card's number holds what looks like a phone's. Those with True look for several digits."""
