"""Small models on the platform: imported, published with nothing else said, and called through the gateway."""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.light_reference import DOCUMENTS, FIXTURE, QUERY, SENTENCES, TEXTS
from tests.support.minilm import fetch_minilm
from tests.support.ocr_files import fetch_ocr
from tests.support.platform import Platform
from tests.support.serving import import_folder, serving
from tests.support.tiny_bert import write_tiny_bert
from tests.support.tiny_encoders import write_tiny_encoder

from aicp.core.model import ModelFormat, ModelType

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(900)]

REFERENCE = json.loads(FIXTURE.read_text("utf-8"))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("small") / "data").start()
    yield platform
    platform.stop()


def test_an_embedding_model(platform: Platform) -> None:
    import_folder(platform, "minilm", fetch_minilm())
    with serving(platform, "minilm") as served:
        assert served.plan.engine == "light"
        reason = next(choice.reason for choice in served.plan.choices if choice.name == "engine")
        assert "preferred to vLLM" in reason
        answer = served.post("/embeddings", {"model": served.name, "input": SENTENCES})
        assert answer.status_code == 200, answer.text
        for item, expected in zip(answer.json()["data"], REFERENCE["minilm"], strict=True):
            assert item["embedding"] == pytest.approx(expected, abs=1e-3)
        counted = served.post("/tokenize", {"model": served.name, "prompt": SENTENCES[0]}).json()["count"]
        assert counted > 5
        assert served.replica().restarts == 0


def test_a_cross_encoder(platform: Platform, tmp_path: Path) -> None:
    import_folder(platform, "cross", write_tiny_bert(tmp_path / "bert"))
    expected = [1 / (1 + math.exp(-row[0])) for row in REFERENCE["bert-cross-encoder"]]
    with serving(platform, "cross") as served:
        assert served.plan.engine == "light"
        body = {"model": served.name, "query": QUERY, "documents": DOCUMENTS}
        answer = served.post("/rerank", body)
        assert answer.status_code == 200, answer.text
        for item in answer.json()["results"]:
            assert item["relevance_score"] == pytest.approx(expected[item["index"]], abs=1e-3)
        refused = served.post("/embeddings", {"model": served.name, "input": "x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "not_supported_by_engine")


def test_a_classifier(platform: Platform, tmp_path: Path) -> None:
    import_folder(platform, "classes", write_tiny_encoder(tmp_path / "model", "roberta-classifier"))
    assert platform.client.models.get("classes").type is ModelType.CLASSIFICATION
    with serving(platform, "classes") as served:
        answer = served.post("/moderations", {"model": served.name, "input": TEXTS})
        assert answer.status_code == 200, answer.text
        assert [len(result["category_scores"]) for result in answer.json()["results"]] == [3, 3, 3]


def white_png(size: int) -> bytes:
    """A white square. Format: https://www.w3.org/TR/png-3/"""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * size) * size)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_reader_of_images(platform: Platform) -> None:
    import_folder(platform, "reader", fetch_ocr())
    model = platform.client.models.get("reader")
    assert model.type is ModelType.OCR
    assert model.latest is not None
    assert model.latest.format is ModelFormat.ONNX
    white = base64.b64encode(white_png(64)).decode()
    with serving(platform, "reader") as served:
        body = {"model": served.name, "image": f"data:image/png;base64,{white}"}
        answer = served.post("/ocr", body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["lines"] == []
