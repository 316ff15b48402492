"""Which files of a folder find, turn and read text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OcrFiles:
    """`detect` finds lines of text, `read` reads one, `direct` tells whether it stands upside down."""

    detect: Path
    read: Path
    direct: Path | None


def find_ocr_files(folder: Path) -> OcrFiles | None:
    """The ONNX models named det, rec and cls; None where the first two are not there, once each."""
    detect, read, direct = (_find(folder, part) for part in ("det", "rec", "cls"))
    return OcrFiles(detect, read, direct) if detect and read else None


def _find(folder: Path, part: str) -> Path | None:
    found = [path for path in sorted(folder.rglob("*.onnx")) if re.search(rf"(^|[_.-]){part}([_.-]|$)", path.stem)]
    return found[0] if len(found) == 1 else None
