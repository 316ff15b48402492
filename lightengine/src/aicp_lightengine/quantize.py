"""Weights in 8 bits: symmetric, one scale for each output, rounded to nearest.

ONNX Runtime quantizes the activations as they come (operator DynamicQuantizeMatMul), so nothing is calibrated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

_FULL, _REDUCED = 127, 63
_NOTHING = 1e-30


def weight_levels(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """The largest magnitude of a weight: 127 where the processor adds products in 32 bits, else 63.

    Without such instructions (VNNI, or ARM's dot products) pairs of products are added in 16 bits and would saturate:
    2 x 255 x 127 is more than 32767; ONNX Runtime's quantization guide calls the smaller range `reduce_range`.
    """
    try:
        features = set(cpuinfo.read_text("utf-8").split())
    except OSError:
        return _REDUCED
    return _FULL if features & {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"} else _REDUCED


def quantize(weight: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """A matrix of (outputs, inputs) as int8 of (inputs, outputs), and the scale of each output."""
    largest = np.abs(weight).max(axis=1)
    # A row of nothing, or next to nothing, has no scale that could be divided by.
    scales = np.where(largest > _NOTHING, largest / levels, 1).astype(np.float32)
    rounded = np.rint(weight / scales[:, None])
    return np.ascontiguousarray(rounded.T.astype(np.int8)), scales
