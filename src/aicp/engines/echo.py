"""The echo driver: a first-class engine in tests and load runs, never chosen and never offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from aicp.core.accelerator import Accelerator
from aicp.core.launch import HealthCheck, LaunchSpec
from aicp.core.model import ModelFormat, ModelType, ModelVersion
from aicp.core.quantity import MIB
from aicp.core.service import Choice, Fit, MemoryPart, Mode
from aicp.engines.base import Defaults, Flag, LaunchRequest, Sizing, flag_choices

_SERVER = Path(__file__).parent / "_echo_server.py"
_PROCESS_BYTES = 20 * MIB
_ENDPOINTS = {
    ModelType.CHAT: ["/v1/chat/completions", "/v1/completions"],
    ModelType.EMBEDDING: ["/v1/embeddings"],
    ModelType.RERANK: ["/v1/rerank"],
}


class EchoEngine:
    """Answers with the words of the question; it needs no model, so it can stand for any."""

    name = "echo"
    title = "Echo"
    versions: Sequence[str] = ("1",)
    formats = frozenset(ModelFormat)
    internal = True
    environment = False
    flags = {
        flag.name: flag
        for flag in (
            Flag("start_delay_ms", "int", "how long the start takes", 0, 600_000),
            Flag("first_token_delay_ms", "int", "how long the first word takes", 0, 600_000),
            Flag("token_delay_ms", "int", "how long each further word takes", 0, 600_000),
            Flag("fail_start", "bool", "end at once with code 3 instead of serving", default=False),
        )
    }
    continues: Mapping[str, str] = {"/v1/chat/completions": "continue_final_message"}
    parallel = ""
    refused_fields: Sequence[str] = ("priority", "request_id")
    metrics = {
        "requests_running": "echo:requests_running",
        "prompt_tokens_total": "echo:prompt_tokens_total",
        "generation_tokens_total": "echo:generation_tokens_total",
    }

    def variants(self, accelerators: Sequence[Accelerator]) -> Sequence[str]:
        return ["cpu"] if accelerators else []

    def supports(self, version: ModelVersion, model_type: ModelType, accelerators: Sequence[Accelerator]) -> Fit:
        if model_type not in _ENDPOINTS:
            return Fit(fits=False, reason=f"{self.title} answers texts only; this model's type is {model_type}.")
        if not self.variants(accelerators):
            return Fit(fits=False, reason="There is no accelerator to run on.")
        return Fit(fits=True, reason=f"{self.title} stands for any model.")

    def endpoints(self, model_type: ModelType) -> Sequence[str]:
        return _ENDPOINTS.get(model_type, [])

    def defaults(self, version: ModelVersion, model_type: ModelType, mode: Mode, node_cores: float) -> Defaults:
        reason = "echoing needs next to nothing"
        context = version.context_length or 4096
        reasons = {"context_length": reason, "users": reason, "cpu_cores": reason}
        return Defaults(context_length=context, users=64, cpu_cores=0.1, reasons=reasons)

    def settings(self, request: LaunchRequest) -> Sequence[Choice]:
        context = Choice(
            name="context_length",
            value=request.sizing.context_length,
            chosen_by="platform",
            reason="the context that was asked for, in words",
        )
        return [context, *flag_choices(self.flags, request.flags, request.mode)]

    def estimate(
        self, version: ModelVersion, model_type: ModelType, mode: Mode, sizing: Sizing
    ) -> Sequence[MemoryPart]:
        return [MemoryPart(name="engine_overhead", bytes=_PROCESS_BYTES, explanation="one small Python process")]

    def launch(self, request: LaunchRequest) -> LaunchSpec:
        # By path, not by module: the package's other imports would cost more than the server itself.
        command = ["{python}", "-I", str(_SERVER), "--listen", "{listen}", "--model", request.served_name]
        for choice in self.settings(request):
            command += _words(choice)
        return LaunchSpec(
            engine=self.name,
            engine_version=request.engine_version,
            variant=request.variant,
            environment=self.environment,
            model_digest=request.version.digest,
            command=command,
            env={"ECHO_TOKEN": "{token}"},
            listen="unix",
            health=HealthCheck(path="/health", token_path="/v1/models"),
            stop_grace_seconds=2.0,
        )


def _words(choice: Choice) -> list[str]:
    option = "--" + choice.name.replace("_", "-")
    if isinstance(choice.value, bool):
        return [option] if choice.value else []
    return [option, str(choice.value)]


driver = EchoEngine()
