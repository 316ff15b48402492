"""The outside of an ONNX file, and whether a set of them reads images. No graph is loaded here.

An ONNX file is one protocol buffer (onnx.proto, message ModelProto): field 1 is the format's version, field 7 the
graph, field 8 the operator sets. It holds no code; weights in other files are looked for by the engine alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import BinaryIO

from aicp.core.errors import InvalidError

READER = "PP-OCR"
"""The architecture's name of models that find and read text in images."""
_GRAPH, _OPERATORS, _VERSION = 7, 8, 1
_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5
_MOST_FIELDS = 10_000


def check_model(file: BinaryIO, size: int) -> None:
    """Walks the outermost fields. Raises InvalidError when they do not end with the file or parts are missing."""
    found: set[int] = set()
    position = 0
    for _ in range(_MOST_FIELDS):
        if position >= size:
            break
        tag, position = _varint(file, position)
        found.add(tag >> 3)
        position = _skip(file, position, tag & 7)
        file.seek(position)
    if position != size or not found >= {_VERSION, _GRAPH, _OPERATORS}:
        raise _broken()


def is_reader(paths: Sequence[str]) -> bool:
    """Whether there is exactly one model that finds text (`det`) and one that reads it (`rec`)."""
    return all(len([path for path in paths if _is_part(path, part)]) == 1 for part in ("det", "rec"))


def _is_part(path: str, part: str) -> bool:
    return re.search(rf"(^|[_.-]){part}([_.-]|$)", PurePosixPath(path).stem) is not None


def _skip(file: BinaryIO, position: int, kind: int) -> int:
    if kind == _VARINT:
        return _varint(file, position)[1]
    if kind == _DELIMITED:
        length, position = _varint(file, position)
        return position + length
    if kind in (_FOUR_BYTES, _EIGHT_BYTES):
        return position + (4 if kind == _FOUR_BYTES else 8)
    raise _broken()


def _varint(file: BinaryIO, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise _broken()
        position += 1
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value, position
    raise _broken()


def _broken() -> InvalidError:
    return InvalidError("It is not a whole ONNX model.", hint="Download or export it again.", code="broken_file")
