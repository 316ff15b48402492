"""What two questions must have in common beside their likeness: the same words, numbers and negations, in one order.

Texts that mean the opposite are near to each other in any embedding ("enable 2FA", "disable 2FA": 0.82 and more). So
a likeness alone never makes a hit. Only what changes no meaning is left out of the comparison: articles, politeness,
forms of "be" and "do" in the present, punctuation between words. Everything that is not known to be harmless counts.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from unicodedata import normalize

_DIGEST_BYTES = 16
_TOKEN = re.compile(r"\.?\w+(?:[.,:/'_-]\w+)*|\S")
_HARMLESS = frozenset(
    {"a", "an", "the", "please", "kindly", "hi", "hello", "hey", "thanks", "is", "are", "do", "does", "of"}
)
"""English words without which a question is the same."""
_PUNCTUATION = frozenset(".,;:?'\"`…，。；：？、！¿¡“”「」『』‘’")
_POLITE = re.compile(r"\b(?:can|could|would|will) you (?:please |kindly )?(?=\w)|\bthank you\b", re.IGNORECASE)
_CONTRACTED = tuple(
    (re.compile(pattern, re.IGNORECASE), full)
    for pattern, full in (
        (r"\bcan't\b", "can not"),
        (r"\bcannot\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"\bshan't\b", "shall not"),
        (r"n't\b", " not"),
        (r"\b(what|who|where|when|why|how|that|it|there)'s\b", r"\1 is"),
        (r"'re\b", " are"),
        (r"\bi'm\b", "i am"),
    )
)
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_CHINESE_HARMLESS = re.compile("请问|請問|麻烦|麻煩|谢谢|謝謝|请|請|的|呢|啊|呀")
"""Politeness, final particles and the possessive; a question's own particle (吗, 嗎) is not among them."""
_NEGATIONS = frozenset(["no", "not", "never", "none", "neither", "nor", "without", "unless", "except", "nothing"])
_CHINESE_NEGATIONS = re.compile("[不没沒無无非别別勿未莫否]")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")


def gist(text: str) -> tuple[str, ...]:
    """The words that count, in order. A Chinese text counts character by character."""
    plain = normalize("NFC", text).replace("’", "'").replace("‘", "'")
    shouted = plain.isupper()
    found: list[str] = []
    for match in _TOKEN.finditer(_unfolded(plain)):
        token = match.group()
        if token in _PUNCTUATION:
            continue
        if token == "!" and not _after_number(match):
            continue
        if _CHINESE.search(token):
            found.extend(_CHINESE_HARMLESS.sub("", token).lower())
            continue
        # WHO, US and IT are other words than who, us and it
        word = token if _is_acronym(token) and not shouted else token.lower()
        if word not in _HARMLESS:
            found.append(word)
    return tuple(found)


def gist_digest(text: str) -> bytes:
    """Of the words that count; empty where none does. Texts with the same one pass the gate."""
    joined = "\x1f".join(gist(text)).encode("utf-8", "surrogatepass")
    return blake2b(joined, digest_size=_DIGEST_BYTES).digest() if joined else b""


def facts(text: str) -> tuple[tuple[str, ...], int]:
    """The numbers of a text in order, and how many negations it has: what two answers that agree share."""
    plain = _unfolded(text.replace("’", "'")).lower()
    words = re.findall(r"[^\W\d_]+", plain)
    negations = sum(word in _NEGATIONS for word in words) + len(_CHINESE_NEGATIONS.findall(plain))
    return tuple(_NUMBER.findall(plain)), negations


def _unfolded(text: str) -> str:
    """Contractions in full, politeness left out."""
    for pattern, full in _CONTRACTED:
        text = pattern.sub(full, text)
    return _POLITE.sub("", text)


def _is_acronym(token: str) -> bool:
    return len(token) > 1 and token.isalpha() and token.isupper()


def _after_number(match: re.Match[str]) -> bool:
    """Whether it stands right after a digit or a bracket, where it is mathematics."""
    before = match.string[: match.start()]
    return before[-1:].isdigit() or before[-1:] == ")"
