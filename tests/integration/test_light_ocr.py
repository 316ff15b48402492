"""The light engine reads images with the models that rapidocr carries."""

from __future__ import annotations

import base64
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.engines import ENVIRONMENTS, RunningEngine, start_engine, version_of
from tests.support.ocr_files import fetch_ocr
from tests.support.ocr_images import TEXTS, draw_images, find_font, wrong_characters

from aicp.core.clock import SystemClock
from aicp.core.model import ModelType
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, Sizing
from aicp.environments.base import EnvironmentKey
from aicp.environments.environments import Environments

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(900)]

DRIVER = Registry[Engine]("aicp.engines").get("light")
LEAST_RIGHT = 0.95


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    yield from start_engine("light", fetch_ocr(), tmp_path_factory.mktemp("ocr"))


@pytest.fixture(scope="module")
def images(reader: RunningEngine, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    font = find_font()
    if font is None:
        pytest.skip("not run: no font with Chinese letters (Debian: apt-get install fonts-noto-cjk fontconfig)")
    environments = Environments(ENVIRONMENTS, clock=SystemClock(), parent=os.environ)
    python = environments.interpreter(EnvironmentKey("light", DRIVER.versions[0], "cpu"))
    return draw_images(python, font, tmp_path_factory.mktemp("images"))


def of(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def url(image: Path) -> str:
    return of("png", image.read_bytes())


def png(width: int, height: int) -> bytes:
    """A white page of one bit a pixel. What is too large to be opened has no pixels at all."""
    rows = (b"\0" + b"\xff" * ((width + 7) // 8)) * (height if height < 1000 else 0)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [*parts, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def read(reader: RunningEngine, image: Any) -> list[dict[str, Any]]:
    status, answer = reader.request("POST", "/v1/ocr", {"model": "m", "image": image})
    assert status == 200, answer
    return answer["lines"]


def test_it_reads_chinese_and_english(reader: RunningEngine, images: list[Path]) -> None:
    wrong = 0
    for text, image in zip(TEXTS, images, strict=True):
        found = "".join(line["text"] for line in read(reader, url(image)))
        errors = wrong_characters(text, found)
        if errors:
            print(f"{errors} wrong: {text!r} read as {found!r}")
        wrong += errors
    letters = sum(len(text.replace(" ", "")) for text in TEXTS)
    print(f"{1 - wrong / letters:.2%} of {letters} characters")
    assert 1 - wrong / letters >= LEAST_RIGHT


def test_a_line_has_its_place_score_and_image(reader: RunningEngine, images: list[Path]) -> None:
    lines = read(reader, [url(images[0]), url(images[10])])
    assert {line["image"] for line in lines} == {0, 1}
    for line in lines:
        (left, top), (right, _), (_, bottom), _ = line["box"]
        assert 0 <= left < right
        assert 0 <= top < bottom
        assert 0.5 < line["score"] <= 1


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "cannot be read"),
        ("data:image/png;base64,!!", "cannot be read"),
        ("somewhere/else.png", "must be a URL of the form"),
        (of("x-portable-graymap", b"P5 40 40 255 " + b"\xff" * 1600), "cannot be read"),
        (of("png", png(6001, 6000)), "more than 36,000,000 pixels"),
        ([of("png", png(40, 40)), of("png", png(9000, 9000))], "more than 36,000,000 pixels"),
        ([], "from 1 to 16"),
    ],
)
def test_what_is_no_image_is_the_caller_s_error(reader: RunningEngine, image: Any, words: str) -> None:
    status, answer = reader.request("POST", "/v1/ocr", {"model": "m", "image": image})
    assert status == 400
    assert words in answer["error"]["message"]


def test_an_empty_page_has_no_lines(reader: RunningEngine) -> None:
    assert read(reader, of("png", png(40, 40))) == []


def test_it_is_known_as_a_reader_and_its_estimate_holds(reader: RunningEngine, images: list[Path]) -> None:
    version, model_type = version_of(fetch_ocr())
    assert model_type is ModelType.OCR
    assert DRIVER.endpoints(model_type) == ["/v1/ocr"]
    read(reader, [url(image) for image in images[:16]])
    parts = DRIVER.estimate(version, model_type, Mode.BALANCED, Sizing(512, 32, 2.0))
    assert max(reader.peak_bytes, reader.memory_bytes()) < sum(part.bytes for part in parts)
