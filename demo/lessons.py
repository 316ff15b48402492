"""Turn the FAQ into training batches: chats whose answers the model has to continue."""

import random
from typing import NamedTuple

import torch
from augment import SYSTEM_PROMPTS, framed, rewrite
from score import FaqItem, HeldOutQuestion, words
from tokenizers import Tokenizer
from vocabulary import END, PAD, TURN

IGNORED = -100
"""Label of a position without loss, as PyTorch's cross entropy expects it."""


FRAMED_SHARE = 0.4
"""Share of the questions that are made from a topic or an action instead of a written phrasing."""


class Batch(NamedTuple):
    """Token ids, attention mask and labels, each (chats, length)."""

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor


class LeakError(Exception):
    """A held-out question is in the training set."""


def asked(item: FaqItem) -> list[str]:
    """Every way of asking for an item that may be trained on."""
    return [item.question, *item.phrasings]


def check_no_leak(items: list[FaqItem], held_out: list[HeldOutQuestion]) -> None:
    """Raises LeakError when a held-out question, punctuation and case aside, is a training question."""
    known = {tuple(words(text)) for item in items for text in asked(item)}
    for question in held_out:
        if tuple(words(question.question)) in known:
            raise LeakError(f"held-out question {question.question!r} is in the training set; rephrase one of the two")


class Lessons:
    """An endless, seeded source of training batches that never contains a held-out question."""

    def __init__(self, items: list[FaqItem], held_out: list[HeldOutQuestion], tokenizer: Tokenizer, seed: int) -> None:
        check_no_leak(items, held_out)
        self._pairs = [(text, item) for item in items for text in asked(item)]
        self._forbidden = {tuple(words(question.question)) for question in held_out}
        self._tokenizer = tokenizer
        self._rng = random.Random(seed)
        self._waiting: list[tuple[str, FaqItem]] = []
        self._seen: set[tuple[str, ...]] = set()

    def _question(self) -> tuple[str, str]:
        if not self._waiting:
            self._waiting = self._pairs.copy()
            self._rng.shuffle(self._waiting)
        text, item = self._waiting.pop()
        base = framed(item.topics, item.actions, self._rng) if self._rng.random() < FRAMED_SHARE else text
        rewritten = rewrite(base, self._rng)
        if tuple(words(rewritten)) in self._forbidden:
            rewritten = text
        self._seen.add(tuple(words(rewritten)))
        return rewritten, item.answer

    def check_seen(self) -> None:
        """Raises LeakError when a held-out question was handed out in some rewriting."""
        leaked = self._seen & self._forbidden
        if leaked:
            raise LeakError(f"held-out questions were trained on: {sorted(leaked)}")

    def _turn(self, role: str, content: str, learned: bool) -> tuple[list[int], list[int]]:
        head = self._tokenizer.encode(f"{TURN}{role}\n").ids
        body = self._tokenizer.encode(f"{content}{END}").ids
        tail = self._tokenizer.encode("\n").ids
        kept = body if learned else [IGNORED] * len(body)
        return head + body + tail, [IGNORED] * len(head) + kept + [IGNORED] * len(tail)

    def chat(self) -> tuple[list[int], list[int]]:
        """One chat as (ids, labels): mostly one question, sometimes after a system message or earlier turns."""
        turns: list[tuple[list[int], list[int]]] = []
        if self._rng.random() < 0.2:
            turns.append(self._turn("system", self._rng.choice(SYSTEM_PROMPTS), learned=False))
        for _ in range(self._rng.choice((1, 1, 1, 1, 1, 1, 2, 3))):
            question, answer = self._question()
            turns.append(self._turn("user", question, learned=False))
            turns.append(self._turn("assistant", answer, learned=True))
        return [token for ids, _ in turns for token in ids], [label for _, labels in turns for label in labels]

    def batches(self, chats: int, group: int = 4) -> list[Batch]:
        """`group` batches of `chats` chats each, similar lengths together to save padding."""
        drawn = sorted((self.chat() for _ in range(chats * group)), key=lambda chat: len(chat[0]))
        cut = [drawn[start : start + chats] for start in range(0, len(drawn), chats)]
        self._rng.shuffle(cut)
        return [self._pad(rows) for rows in cut]

    def _pad(self, rows: list[tuple[list[int], list[int]]]) -> Batch:
        longest = max(len(ids) for ids, _ in rows)
        pad = self._tokenizer.token_to_id(PAD)
        return Batch(
            torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in rows]),
            torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows]),
            torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in rows]),
        )
