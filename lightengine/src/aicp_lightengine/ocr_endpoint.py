"""What is asked of images: `/v1/ocr`."""

from __future__ import annotations

from typing import Any

from aicp_lightengine.errors import Refused
from aicp_lightengine.models import OCR, Served

_MOST_IMAGES = 16


async def read(served: Served, body: dict[str, Any]) -> dict[str, Any]:
    """The lines of each image in reading order, with box and score; `image` is the number of the line's image."""
    given = body.get("image")
    urls = given if isinstance(given, list) else [given]
    if not 1 <= len(urls) <= _MOST_IMAGES:
        raise Refused(400, f"image holds from 1 to {_MOST_IMAGES} images.", "image")
    found = await served.batcher.run(urls)
    lines = [
        {"text": line.text, "box": line.box, "score": line.score, "image": number}
        for number, image in enumerate(found)
        for line in image
    ]
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return {"object": "ocr", "model": served.name, "lines": lines, "usage": usage}


PATHS = {"/v1/ocr": (frozenset({OCR}), read)}
