"""Reading of images with the detection, direction and recognition models of PP-OCR, by way of rapidocr."""

from __future__ import annotations

import base64
import binascii
import io
import logging
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps  # pyright: ignore[reportMissingImports]
from rapidocr import RapidOCR  # pyright: ignore[reportMissingImports]  # the engine's environment brings it
from rapidocr.inference_engine.onnxruntime.main import OrtInferSession  # pyright: ignore[reportMissingImports]

from aicp_lightengine.errors import Refused
from aicp_lightengine.ocr_files import OcrFiles
from aicp_lightengine.session import CPU_PROVIDER, Device, session_options

_MOST_PIXELS = 36_000_000
"""A4 at 600 dots an inch. Opening as many takes about as much memory as reading a page does, also with transparency."""
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
_LONGEST_SIDE = 1600
_URL = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; `box` are the corners [x, y] in pixels, clockwise from the top left of the text."""

    text: str
    box: list[list[float]]
    score: float


class OcrModel:
    """The models of a folder, loaded. `compute` may be called from one thread at a time."""

    def __init__(self, files: OcrFiles, device: Device) -> None:
        # rapidocr has no setting that lets waiting threads sleep.
        OrtInferSession._init_sess_opts = staticmethod(lambda _settings: session_options(device.threads))
        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        self._engine = RapidOCR(
            params={
                "Global.use_cls": files.direct is not None,
                "Global.log_level": "error",
                "Det.model_path": str(files.detect),
                # Small pictures stay as they are: enlarging a line to 736 pixels costs a gigabyte and finds no more.
                "Det.limit_type": "max",
                "Det.limit_side_len": _LONGEST_SIDE,
                "Rec.model_path": str(files.read),
                **({"Cls.model_path": str(files.direct)} if files.direct else {}),
                "EngineConfig.onnxruntime.use_cuda": device.providers[0] != CPU_PROVIDER,
            }
        )
        # Loads all parts now, so that a broken file ends the start and not the first request.
        self._engine._load_det_model()
        self._engine._load_rec_model()
        if files.direct:
            self._engine._load_cls_model()

    def compute(self, batch: list[Any]) -> list[list[Line]]:
        """The lines of each image, given as a `data:` URL, in reading order. Raises Refused for what is no image."""
        return [self._read(self.picture(url)) for url in batch]

    def _read(self, image: np.ndarray) -> list[Line]:
        found = self._engine(image)
        if getattr(found, "txts", None) is None or found.boxes is None:
            return []
        return [
            Line(str(text), [[round(float(x), 1), round(float(y), 1)] for x, y in box], round(float(score), 4))
            for text, box, score in zip(found.txts, found.boxes, found.scores, strict=True)
        ]

    @staticmethod
    def picture(url: Any) -> np.ndarray:
        """The picture of a `data:` URL, (height, width, 3) with blue first. Raises Refused for what is none."""
        head = _URL.match(url) if isinstance(url, str) else None
        if head is None:
            raise Refused(400, "An image must be a URL of the form data:image/png;base64,...", "image")
        try:
            data = base64.b64decode(url[head.end() :], validate=True)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
                _check_size(opened)
                opened.load()
                # Some formats know their size only now.
                _check_size(opened)
                return np.ascontiguousarray(np.asarray(_on_white(opened))[:, :, ::-1])
        except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
            raise Refused(400, f"The image cannot be read: {str(error)[:200]}", "image") from error


def _check_size(picture: Image.Image) -> None:
    if picture.width * picture.height > _MOST_PIXELS:
        raise Refused(400, f"The image has more than {_MOST_PIXELS:,} pixels.", "image")


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture upright in three colors; what is transparent is white, as on a page."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layers = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return upright.convert("RGB")
