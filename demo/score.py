"""Read the demonstration FAQ and tell which item an answer belongs to.

Plain standard library and no package, so that a test or a tool can load this file by its path alone.
"""

import json
import re
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent

MIN_SIMILARITY = 0.6
"""Below this share of common words an answer belongs to no item. Two different answers of the FAQ stay under it."""

_WORD = re.compile(r"\w+")


class FaqItem(NamedTuple):
    """One question about the product, its answer, and what the model is trained on to recognize it.

    `phrasings` are whole questions; `topics` are nouns and `actions` are verbs with objects, put into frames.
    """

    id: str
    question: str
    answer: str
    phrasings: tuple[str, ...]
    topics: tuple[str, ...]
    actions: tuple[str, ...]


class HeldOutQuestion(NamedTuple):
    """A way of asking that the model never saw in training."""

    item_id: str
    question: str


def load_faq(path: Path = FOLDER / "faq.jsonl") -> list[FaqItem]:
    """The FAQ, in file order. Raises OSError when the file is missing, KeyError or ValueError when it is malformed."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lists = ("phrasings", "topics", "actions")
    return [FaqItem(row["id"], row["question"], row["answer"], *(tuple(row[name]) for name in lists)) for row in rows]


def load_held_out(path: Path = FOLDER / "held_out.jsonl") -> list[HeldOutQuestion]:
    """Every held-out question with the id of its item, in file order. Raises like `load_faq`."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [HeldOutQuestion(row["id"], question) for row in rows for question in row["questions"]]


def words(text: str) -> list[str]:
    """The words of a text, case-folded and without punctuation: two texts with equal words count as the same."""
    return _WORD.findall(text.casefold())


def similarity(answer: str, reference: str) -> float:
    """How alike two texts are, 0 to 1: twice the words common in order, over the words of both.

    This is the Ratcliff/Obershelp ratio of `difflib`, on words. It falls for missing words as well as for added ones,
    so an answer that runs on into a second item is not taken for the first.
    """
    return SequenceMatcher(None, words(answer), words(reference), autojunk=False).ratio()


def identify(answer: str, items: list[FaqItem]) -> str | None:
    """The id of the item whose answer is closest to `answer`, or None when no answer is close enough."""
    best_id: str | None = None
    best = MIN_SIMILARITY
    for item in items:
        score = similarity(answer, item.answer)
        if score > best:
            best_id, best = item.id, score
    return best_id
