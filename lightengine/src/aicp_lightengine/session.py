"""ONNX Runtime: a graph and its weights, ready to run on a processor or a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingImports]  # the engine's environment brings it

from aicp_lightengine.errors import ModelError
from aicp_lightengine.onnx_model import Graph

CPU, CUDA = "cpu", "cuda"
CPU_PROVIDER = "CPUExecutionProvider"
_PROVIDERS = {CPU: CPU_PROVIDER, CUDA: "CUDAExecutionProvider"}


@dataclass(frozen=True, slots=True)
class Device:
    """Where it is computed, and with how many threads."""

    kind: str
    threads: int

    @property
    def providers(self) -> list[str]:
        """ONNX Runtime's providers, best first. Raises ModelError when the device's own is not there."""
        wanted = _PROVIDERS[self.kind]
        if wanted not in onnxruntime.get_available_providers():
            raise ModelError(f"This ONNX Runtime cannot compute on {self.kind}; it lacks {wanted}.")
        if self.kind == CUDA:
            # The CUDA libraries lie among the packages, where the loader does not look by itself.
            onnxruntime.preload_dlls()
        return [wanted] if self.kind == CPU else [wanted, CPU_PROVIDER]


def session_options(threads: int) -> Any:
    """Options of every session: few words, threads that sleep, and memory that is given back."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A thread that waits must sleep: others share the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # Batches differ in size all the time: remembered plans and an arena that keeps its peak would only grow.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    return options


class Session:
    """A loaded graph. `run` may be called from one thread at a time."""

    def __init__(self, graph: Graph, device: Device) -> None:
        options = session_options(device.threads)
        # The values stay where the weights file is mapped, and must live as long as the session. The first call lets
        # the graph be optimized with them, the second keeps the session from copying them.
        self._kept = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in graph.weights.items()}
        options.add_external_initializers(list(self._kept), list(self._kept.values()))
        for name, value in self._kept.items():
            options.add_initializer(name, value)
        self._session = onnxruntime.InferenceSession(graph.encode(), options, providers=device.providers)
        if device.kind == CUDA and self._session.get_providers()[0] == CPU_PROVIDER:
            raise ModelError("ONNX Runtime found no CUDA device that it can use, and would compute on the processor.")
        self._inputs = {item.name for item in self._session.get_inputs()}

    def run(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """The graph's result; inputs that it has no use for are left out."""
        return self._session.run(["result"], {name: array for name, array in values.items() if name in self._inputs})[0]
