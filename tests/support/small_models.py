"""Eight small models for the density benchmark and the demonstration of slices: what is asked, and what is right.

Right means equal to the same weights in plain torch (tests/fixtures/light_reference.json) within 1e-3; for the one in 8
bits a cosine above 0.98 to those vectors; for images every character as it was drawn.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.light_reference import DEMO, FAQ_ANSWERS, FAQ_QUESTIONS, FIXTURE, SENTENCES
from tests.support.light_reference import TEXTS as TINY_TEXTS
from tests.support.minilm import fetch_minilm
from tests.support.ocr_files import fetch_ocr
from tests.support.ocr_images import TEXTS as LINES
from tests.support.ocr_images import draw_images, find_font, wrong_characters
from tests.support.platform import ENVIRONMENTS
from tests.support.tiny_encoders import write_tiny_encoder

from aicp.core.clock import SystemClock
from aicp.environments.base import EnvironmentKey
from aicp.environments.environments import Environments

Answer = dict[str, Any]
_NEAR, _LEAST_COSINE = 1e-3, 0.98
_COPIES = 16
"""How often a text stands in one call of the smallest models, which answer a single one in less than the HTTP costs."""


@dataclass(frozen=True, slots=True)
class Question:
    """One call: its body, and whether an answer to it is right."""

    body: Answer
    is_right: Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class Member:
    """One of the eight models."""

    name: str
    folder: Path
    path: str
    questions: list[Question]
    int8: bool = False


def light_python() -> Path:
    """The Python of the light engine's environment, built when absent."""
    key = EnvironmentKey("light", "0.1.0", "cpu")
    environments = Environments(ENVIRONMENTS, clock=SystemClock(), parent=os.environ, for_everyone=True)
    asyncio.run(environments.build(key))
    return environments.interpreter(key)


def members(place: Path, python: Path) -> list[Member]:
    """All eight; what has to be written goes below `place`. Raises RuntimeError when the images cannot be drawn."""
    reference: dict[str, list[list[float]]] = json.loads(FIXTURE.read_text("utf-8"))
    minilm = fetch_minilm()
    vectors = reference["minilm"]
    exact = [_embedding("minilm", text, row, _is_near) for text, row in zip(SENTENCES, vectors, strict=True)]
    small = [_embedding("minilm-int8", text, row, _is_alike) for text, row in zip(SENTENCES, vectors, strict=True)]
    tiny = write_tiny_encoder(place / "bert-embedding", "bert-embedding")
    return [
        Member("minilm", minilm, "/v1/embeddings", exact),
        Member("minilm-int8", minilm, "/v1/embeddings", small, int8=True),
        Member("faq-rerank", DEMO / "rerank" / "model", "/v1/rerank", _orders(reference["demo-rerank"])),
        Member("reader", fetch_ocr(), "/v1/ocr", _images(place, python)),
        Member("bert-embedding", tiny, "/v1/embeddings", [_many_embeddings(reference["bert-embedding"])]),
        *(
            Member(name, write_tiny_encoder(place / name, name), "/v1/moderations", [_classes(name, reference[name])])
            for name in ("roberta-classifier", "distilbert-classifier", "xlm-roberta-several")
        ),
    ]


def _embedding(model: str, text: str, row: list[float], same: Callable[[list[float], list[float]], bool]) -> Question:
    return Question({"model": model, "input": text}, lambda answer: same(answer["data"][0]["embedding"], row))


def _many_embeddings(rows: list[list[float]]) -> Question:
    expected = rows * _COPIES

    def is_right(answer: Answer) -> bool:
        return all(_is_near(item["embedding"], expected[item["index"]]) for item in answer["data"])

    return Question({"model": "bert-embedding", "input": TINY_TEXTS * _COPIES}, is_right)


def _orders(logits: list[list[float]]) -> list[Question]:
    scores = [_sigmoid(row[0]) for row in logits]
    each = len(FAQ_ANSWERS)
    return [
        _order(question, scores[number * each : (number + 1) * each]) for number, question in enumerate(FAQ_QUESTIONS)
    ]


def _order(question: str, scores: list[float]) -> Question:
    body = {"model": "faq-rerank", "query": question, "documents": FAQ_ANSWERS, "return_documents": False}

    def is_right(answer: Answer) -> bool:
        found = {item["index"]: item["relevance_score"] for item in answer["results"]}
        return _is_near([found[index] for index in range(len(scores))], scores)

    return Question(body, is_right)


def _classes(name: str, logits: list[list[float]]) -> Question:
    several = name.endswith("several")
    expected = [[_sigmoid(value) for value in row] if several else _softmax(row) for row in logits] * _COPIES

    def is_right(answer: Answer) -> bool:
        found = [list(result["category_scores"].values()) for result in answer["results"]]
        return len(found) == len(expected) and all(map(_is_near, found, expected))

    return Question({"model": name, "input": TINY_TEXTS * _COPIES}, is_right)


def _images(place: Path, python: Path) -> list[Question]:
    font = find_font()
    if font is None:
        raise RuntimeError(
            "no font with Chinese letters is installed (Debian: apt-get install fonts-noto-cjk fontconfig)"
        )
    return [_line(text, image) for text, image in zip(LINES, draw_images(python, font, place), strict=True)]


def _line(text: str, image: Path) -> Question:
    url = f"data:image/png;base64,{base64.b64encode(image.read_bytes()).decode()}"

    def is_right(answer: Answer) -> bool:
        return wrong_characters(text, "".join(line["text"] for line in answer["lines"])) == 0

    return Question({"model": "reader", "image": url}, is_right)


def _is_near(found: list[float], expected: list[float]) -> bool:
    return len(found) == len(expected) and all(abs(a - b) <= _NEAR for a, b in zip(found, expected, strict=True))


def _is_alike(found: list[float], expected: list[float]) -> bool:
    return sum(a * b for a, b in zip(found, expected, strict=True)) > _LEAST_COSINE


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _softmax(row: list[float]) -> list[float]:
    raised = [math.exp(value) for value in row]
    return [value / sum(raised) for value in raised]
