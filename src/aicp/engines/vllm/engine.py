"""The vLLM driver: what it can serve, and how one replica of it is started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from aicp.core.accelerator import Accelerator
from aicp.core.launch import HealthCheck, LaunchSpec
from aicp.core.model import ModelFormat, ModelType, ModelVersion
from aicp.core.service import Choice, Fit, MemoryPart, Mode
from aicp.engines.base import Defaults, LaunchRequest, Sizing, head_width
from aicp.engines.vllm import memory, parameters
from aicp.engines.vllm import nodes as over_nodes

_ARCHITECTURES: dict[str, list[str]] = json.loads((Path(__file__).parent / "architectures.json").read_text("utf-8"))
# Best first. The cuda variant is locked but was never run: see its definition in aicp.environments.
_VARIANT_OF_VENDOR = {"nvidia": "cuda", "cpu": "cpu"}
_QUANTIZATIONS = frozenset({"awq", "gptq", "compressed-tensors", "fp8", "int8"})
_CPU_HEAD_WIDTHS = frozenset({32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512})
"""What vLLM 0.32's attention on a processor is built for (v1/attention/backends/cpu_attn.py); others end the engine."""
_SMALL_PARAMETERS = 250_000_000
_TOKENS = ["/tokenize", "/detokenize"]
_ENDPOINTS = {
    ModelType.CHAT: [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages/count_tokens",
        *_TOKENS,
    ],
    # Between two embeddings the score is their cosine.
    ModelType.EMBEDDING: ["/v1/embeddings", "/v1/rerank", "/v1/score", *_TOKENS],
    ModelType.RERANK: ["/v1/rerank", "/v1/score", *_TOKENS],
}
_CONTEXT = {Mode.BALANCED: 4096, Mode.LONG_TEXT: 32768}
_USERS = {Mode.BALANCED: 8, Mode.LONG_TEXT: 2}


class VllmEngine:
    """vLLM 0.32 from its environment; the `cpu` variant runs two processes, API server and engine."""

    name = "vllm"
    title = "vLLM"
    versions: Sequence[str] = ("0.32.0",)
    formats = frozenset({ModelFormat.SAFETENSORS})
    internal = False
    environment = True
    flags = parameters.FLAGS
    continues: Mapping[str, str] = {"/v1/chat/completions": "continue_final_message", "/v1/completions": "prompt"}
    parallel = "max_num_seqs"
    refused_fields: Sequence[str] = (
        "cache_salt",
        "chat_template",
        "data_parallel_rank",
        "ec_transfer_params",
        "kv_transfer_params",
        "media_io_kwargs",
        "mm_payload",
        "mm_processor_kwargs",
        "priority",
        "prompt_embeds",
        "request_id",
        "return_mm_kwargs",
        "routed_experts_prompt_start",
        "session_id",
        "vllm_xargs",
        "watermarking",
    )
    metrics = {
        "requests_running": "vllm:num_requests_running",
        "requests_waiting": "vllm:num_requests_waiting",
        "kv_cache_usage_ratio": "vllm:kv_cache_usage_perc",
        "prefix_cache_queries_total": "vllm:prefix_cache_queries_total",
        "prefix_cache_hits_total": "vllm:prefix_cache_hits_total",
        "prompt_tokens_total": "vllm:prompt_tokens_total",
        "generation_tokens_total": "vllm:generation_tokens_total",
        "time_to_first_token_seconds": "vllm:time_to_first_token_seconds",
        "inter_token_latency_seconds": "vllm:inter_token_latency_seconds",
        "request_seconds": "vllm:e2e_request_latency_seconds",
        "preemptions_total": "vllm:num_preemptions_total",
    }

    def variants(self, accelerators: Sequence[Accelerator]) -> Sequence[str]:
        vendors = {accelerator.vendor for accelerator in accelerators}
        return [variant for vendor, variant in _VARIANT_OF_VENDOR.items() if vendor in vendors]

    def supports(self, version: ModelVersion, model_type: ModelType, accelerators: Sequence[Accelerator]) -> Fit:
        problem, suggestion = self._problem(version, model_type, accelerators)
        if problem:
            return Fit(fits=False, reason=problem, suggestions=[suggestion] if suggestion else [])
        notes: list[str] = []
        if model_type is ModelType.CHAT and not version.architecture.has_chat_template:
            notes.append("The model has no chat template: only /v1/completions will answer.")
        return Fit(fits=True, reason=f"{self.title} serves {version.architecture.name}.", suggestions=notes)

    def endpoints(self, model_type: ModelType) -> Sequence[str]:
        return _ENDPOINTS.get(model_type, [])

    def defaults(self, version: ModelVersion, model_type: ModelType, mode: Mode, node_cores: float) -> Defaults:
        wanted = _CONTEXT[Mode.LONG_TEXT if mode is Mode.LONG_TEXT else Mode.BALANCED]
        users = _USERS[Mode.LONG_TEXT if mode is Mode.LONG_TEXT else Mode.BALANCED]
        limit = version.context_length
        context = min(wanted, limit) if limit else wanted
        cores, why_cores = _default_cores(version, node_cores)
        bounded = limit is not None and limit <= wanted
        return Defaults(
            context_length=context,
            users=users,
            cpu_cores=cores,
            reasons={
                "context_length": "the model's own limit"
                if bounded
                else f"enough for mode {mode}; ask for more if needed",
                "users": f"mode {mode} serves {users} requests at the same time",
                "cpu_cores": why_cores,
            },
        )

    def settings(self, request: LaunchRequest) -> Sequence[Choice]:
        return parameters.choose(request)

    def estimate(
        self, version: ModelVersion, model_type: ModelType, mode: Mode, sizing: Sizing
    ) -> Sequence[MemoryPart]:
        return memory.memory_parts(version, model_type, mode, sizing)

    def spans(self, version: ModelVersion, vendor: str, nodes: int) -> str | None:
        return over_nodes.spans(version.architecture, vendor, nodes)

    def launch(self, request: LaunchRequest) -> LaunchSpec:
        choices = parameters.choose(request)
        arguments = ["--served-model-name", request.served_name, *_FIXED_ARGUMENTS, *parameters.arguments(choices)]
        arguments += over_nodes.member_arguments(request)
        leads = request.rank == 0
        # the package's own command line: an image of somebody else has no other
        network = ["{python}", "-m", "vllm.entrypoints.cli.main", "serve", "{model}", "--host", "{host}"]
        door = ["--uds", "{listen}"] if leads else []
        command = ["{python}", "-m", "vllm_start", "serve", "{model}", *door, *arguments]
        events = self.cache_events(request.model_type) if leads else None
        if events is not None:
            told = {"enable_kv_cache_events": True, "publisher": "zmq", "endpoint": f"ipc://{events}"}
            command += ["--kv-events-config", json.dumps(told)]
        on_cpu = _CPU_ENVIRONMENT if request.variant == "cpu" else {}
        return LaunchSpec(
            engine=self.name,
            engine_version=request.engine_version,
            variant=request.variant,
            environment=self.environment,
            model_digest=request.version.digest,
            command=command,
            network_command=[*network, "--port", "{port}", *arguments],
            env={
                **_ENVIRONMENT,
                **on_cpu,
                **parameters.environment(choices),
                **over_nodes.member_environment(request),
            },
            listen="unix" if leads else "none",
            health=HealthCheck(path="/health", token_path="/v1/models") if leads else HealthCheck(path=""),
        )

    def cache_events(self, model_type: ModelType) -> str | None:
        return "{listen}.kv" if model_type is ModelType.CHAT else None

    def _problem(
        self, version: ModelVersion, model_type: ModelType, accelerators: Sequence[Accelerator]
    ) -> tuple[str | None, str | None]:
        name = version.architecture.name
        if version.format not in self.formats:
            return f"{self.title} reads safetensors, and this version is {version.format}.", "Use the engine llamacpp."
        if model_type not in _ENDPOINTS:
            return f"{self.title} is set up here for text; this model's type is {model_type}.", None
        if not self.variants(accelerators):
            return f"There is no {self.title} environment for the accelerators of this node.", None
        if not _knows(name, model_type):
            return f"{self.title} {self.versions[0]} cannot serve the architecture {name} as {model_type}.", None
        quantization = (version.quantization or "").lower()
        if quantization and quantization not in _QUANTIZATIONS:
            return f"{self.title} has no kernels here for weights quantized with {quantization}.", None
        width = None if version.architecture.kv_lora_rank else head_width(version.architecture)
        if width not in (None, *_CPU_HEAD_WIDTHS) and all(item.vendor == "cpu" for item in accelerators):
            return (
                f"{self.title} has no attention kernel for heads of {width} values on a processor.",
                "Import a GGUF version and use the engine llamacpp.",
            )
        return None, None


_FIXED_ARGUMENTS = (
    "--disable-fastapi-docs",
    "--disable-uvicorn-access-log",
    "--no-use-tqdm-on-load",
    "--enable-prompt-tokens-details",
)
# No telemetry, no hub, nothing written outside the replica's directory.
_ENVIRONMENT = {
    "VLLM_API_KEY": "{token}",
    "VLLM_CACHE_ROOT": "{home}/cache",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": "{home}/cache/huggingface",
    "TORCHINDUCTOR_CACHE_DIR": "{home}/cache/inductor",
}
# Passive waiting: spinning threads on a shared core cost ten times the latency when anything else runs.
_CPU_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_WAIT_POLICY": "PASSIVE"}


def _knows(architecture: str, model_type: ModelType) -> bool:
    generate = architecture in _ARCHITECTURES["generate"]
    if model_type is ModelType.CHAT:
        return generate
    embed = generate or architecture in _ARCHITECTURES["embed"]
    if model_type is ModelType.EMBEDDING:
        return embed
    # A classifier head on a language model, named after it: Qwen3ForSequenceClassification.
    language_model = architecture.replace("ForSequenceClassification", "ForCausalLM")
    classifier = architecture.endswith("ForSequenceClassification") and language_model in _ARCHITECTURES["generate"]
    return classifier or architecture in _ARCHITECTURES["classify"] or architecture in _ARCHITECTURES["embed"]


def _default_cores(version: ModelVersion, node_cores: float) -> tuple[float, str]:
    parameters_count = version.parameters or version.weight_bytes // 2
    if parameters_count <= _SMALL_PARAMETERS:
        return 1.0, "a model this small gains nothing from a second core"
    if node_cores < 4:
        return max(1.0, float(int(node_cores))), "all cores of a small node: each core adds its full share of speed"
    return float(int(node_cores) // 2), "half of the node's cores, so that another replica can start beside it"
