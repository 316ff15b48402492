"""What is asked of texts: embeddings, orders, scores, classes and tokens, in the forms of OpenAI, Jina and vLLM."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from aicp_lightengine.errors import Refused
from aicp_lightengine.models import CLASSIFICATION, EMBEDDING, RERANK, Served

if TYPE_CHECKING:
    from aicp_lightengine.text_model import Tokens

Body = dict[str, Any]
Text = str | list[int]
_MOST_TEXTS = 4096
_MOST_CHARACTERS = 8 * 2**20
"""Characters of all texts of a request as they are cut into tokens: a query counts once for each of its documents."""
_HARMLESS = frozenset({"safe", "ok", "normal", "neutral", "none", "harmless", "benign", "clean", "not_toxic"})
"""Labels of a classifier that mean nothing is wrong; any other makes a moderation say `flagged`."""
_LIKELY = 0.5


async def embeddings(served: Served, body: Body) -> Body:
    """`/v1/embeddings`: a vector of length 1 for each input, as numbers or base64 of 32-bit floats."""
    form = body.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise Refused(400, "encoding_format is float or base64.", "encoding_format")
    if body.get("dimensions") not in (None, served.model.width):
        raise Refused(400, f"This model's embeddings have {served.model.width} dimensions, no fewer.", "dimensions")
    items = await _tokens(served, body, [(text,) for text in _inputs(body)])
    rows = await served.batcher.run(items)
    data = [{"object": "embedding", "index": index, "embedding": _vector(row, form)} for index, row in enumerate(rows)]
    return {"object": "list", "model": served.name, "data": data, "usage": _usage(items)}


async def rerank(served: Served, body: Body) -> Body:
    """`/v1/rerank`: documents by their relevance to the query, the best first."""
    query, documents = body.get("query"), [_document(item) for item in _list(body, "documents")]
    if not isinstance(query, str):
        raise Refused(400, "query is not a text.", "query")
    top = body.get("top_n")
    if top is not None and (not isinstance(top, int) or isinstance(top, bool) or top < 1):
        raise Refused(400, "top_n is not a whole number from 1.", "top_n")
    scores, usage = await _scores(served, body, [(query, document) for document in documents])
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[:top]
    shown = body.get("return_documents") is not False
    results = [
        {"index": index, "relevance_score": scores[index]} | ({"document": {"text": documents[index]}} if shown else {})
        for index in order
    ]
    return {"id": _id("rerank"), "model": served.name, "results": results, "usage": usage}


async def score(served: Served, body: Body) -> Body:
    """`/v1/score`: how well `text_1` and `text_2` go together, each with each, or one with all."""
    first, second = _list(body, "text_1"), _list(body, "text_2")
    if len(first) == 1:
        first *= len(second)
    if len(first) != len(second):
        raise Refused(400, f"text_1 has {len(first)} texts and text_2 has {len(second)}.", "text_2")
    if not all(isinstance(text, str) for text in [*first, *second]):
        raise Refused(400, "text_1 and text_2 hold texts.", "text_1")
    scores, usage = await _scores(served, body, list(zip(first, second, strict=True)))
    data = [{"index": index, "object": "score", "score": value} for index, value in enumerate(scores)]
    head = {"id": _id("score"), "object": "list", "created": int(time.time()), "model": served.name}
    return {**head, "data": data, "usage": usage}


async def classify(served: Served, body: Body) -> Body:
    """`/v1/classify`: the likeliest label of each input, and how likely each is."""
    items, rows = await _classes(served, body)
    labels = _labels(served, len(rows[0]))
    data = [
        {
            "index": index,
            "label": labels[int(np.argmax(row))],
            "probs": [float(value) for value in row],
            "num_classes": len(labels),
        }
        for index, row in enumerate(rows)
    ]
    head = {"id": _id("classify"), "object": "list", "created": int(time.time()), "model": served.name}
    return {**head, "data": data, "usage": _usage(items)}


async def moderate(served: Served, body: Body) -> Body:
    """`/v1/moderations`: the same with every label as a category."""
    items, rows = await _classes(served, body)
    labels = _labels(served, len(rows[0]))
    results: list[Body] = []
    for row in rows:
        found = {label: float(value) for label, value in zip(labels, row, strict=True)}
        categories = {label: value >= _LIKELY for label, value in found.items()}
        wrong = any(held and label.lower() not in _HARMLESS for label, held in categories.items())
        results.append({"flagged": wrong, "categories": categories, "category_scores": found})
    return {"id": _id("modr"), "model": served.name, "results": results, "usage": _usage(items)}


async def tokenize(served: Served, body: Body) -> Body:
    """`/tokenize`: the tokens of a prompt as the model takes them."""
    prompt = body.get("prompt")
    if not isinstance(prompt, str):
        raise Refused(400, "prompt is not a text.", "prompt")
    ids = await asyncio.to_thread(served.model.all_tokens, prompt)
    return {"count": len(ids), "max_model_len": served.model.longest, "tokens": ids}


async def detokenize(served: Served, body: Body) -> Body:
    """`/detokenize`: the text of tokens."""
    ids = body.get("tokens")
    if not _is_tokens(ids):
        raise Refused(400, "tokens is not a list of token numbers.", "tokens")
    if len(ids) > served.model.most_characters:
        raise Refused(400, f"tokens holds at most {served.model.most_characters:,} tokens.", "tokens")
    return {"prompt": await asyncio.to_thread(served.model.text, ids)}


async def _scores(served: Served, body: Body, pairs: list[tuple[str, str]]) -> tuple[list[float], Body]:
    if served.kind == RERANK:
        items = await _tokens(served, body, pairs)
        rows = await served.batcher.run(items)
        return [float(row[0]) for row in rows], _usage(items)
    # Between two embeddings the score is their cosine; every text is computed once.
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    items = await _tokens(served, body, [(text,) for text in texts])
    vectors = dict(zip(texts, await served.batcher.run(items), strict=True))
    return [float(vectors[first] @ vectors[second]) for first, second in pairs], _usage(items)


async def _classes(served: Served, body: Body) -> tuple[list[Tokens], list[np.ndarray]]:
    items = await _tokens(served, body, [(text,) for text in _inputs(body)])
    return items, await served.batcher.run(items)


async def _tokens(served: Served, body: Body, texts: Sequence[tuple[Text] | tuple[str, str]]) -> list[Tokens]:
    """The tokens of each text or pair, found beside the event loop, which answers others meanwhile."""
    limit, most = _limit(served, body), served.model.most_characters
    total = sum(min(len(part), most) for text in texts for part in text)
    if total > _MOST_CHARACTERS:
        raise Refused(
            413,
            f"The texts have {total:,} characters together, a query counted once for each document; a request may have "
            f"{_MOST_CHARACTERS:,}. Send them in several requests.",
        )
    return await asyncio.to_thread(lambda: [served.model.tokens(*text, limit=limit) for text in texts])


def _labels(served: Served, count: int) -> list[str]:
    named = served.model.shape.labels
    return list(named) if len(named) == count else [f"LABEL_{number}" for number in range(count)]


def _inputs(body: Body) -> list[Text]:
    """OpenAI's `input`: a text, a list of texts, tokens, or a list of such."""
    given = body.get("input")
    items: list[Any] = [given] if isinstance(given, str) or _is_tokens(given) else given if given else []
    if not isinstance(items, list) or not 1 <= len(items) <= _MOST_TEXTS:
        raise Refused(400, f"input holds from 1 to {_MOST_TEXTS} texts.", "input")
    if not all(isinstance(item, str) or _is_tokens(item) for item in items):
        raise Refused(400, "input is a text, tokens, or a list of such.", "input")
    return items


def _is_tokens(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


def _list(body: Body, field: str) -> list[Any]:
    given = body.get(field)
    items = [given] if isinstance(given, str) else given
    if not isinstance(items, list) or not 1 <= len(items) <= _MOST_TEXTS:
        raise Refused(400, f"{field} holds from 1 to {_MOST_TEXTS} texts.", field)
    return items


def _document(item: Any) -> str:
    text = item.get("text") if isinstance(item, dict) else item
    if not isinstance(text, str):
        raise Refused(400, "A document is a text, or an object with a text.", "documents")
    return text


def _limit(served: Served, body: Body) -> int | None:
    asked = body.get("truncate_prompt_tokens")
    if asked is None:
        return None
    if type(asked) is not int or asked == 0 or asked < -1 or asked > served.model.longest:
        raise Refused(
            400, f"truncate_prompt_tokens is -1 or from 1 to {served.model.longest}.", "truncate_prompt_tokens"
        )
    return served.model.longest if asked == -1 else asked


def _vector(row: np.ndarray, form: str) -> Any:
    values = row.astype("<f4")
    return base64.b64encode(values.tobytes()).decode() if form == "base64" else values.tolist()


def _usage(items: Sequence[Tokens]) -> Body:
    total = sum(len(item.ids) for item in items)
    return {"prompt_tokens": total, "total_tokens": total}


def _id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


_SCORING = frozenset({EMBEDDING, RERANK})
_TEXTS = frozenset({EMBEDDING, RERANK, CLASSIFICATION})
PATHS = {
    "/v1/embeddings": (frozenset({EMBEDDING}), embeddings),
    "/v1/rerank": (_SCORING, rerank),
    "/v1/score": (_SCORING, score),
    "/v1/classify": (frozenset({CLASSIFICATION}), classify),
    "/v1/moderations": (frozenset({CLASSIFICATION}), moderate),
    "/tokenize": (_TEXTS, tokenize),
    "/detokenize": (_TEXTS, detokenize),
}
"""The path, the kinds of models that it is for, and what answers it."""
