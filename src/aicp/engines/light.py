"""The light engine: small models on ONNX Runtime, quickly up and in a fraction of a large engine's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aicp.core.accelerator import Accelerator
from aicp.core.errors import InvalidError
from aicp.core.launch import HealthCheck, LaunchSpec
from aicp.core.model import ModelFormat, ModelType, ModelVersion
from aicp.core.quantity import MIB, format_bytes
from aicp.core.service import Choice, Fit, MemoryPart, Mode
from aicp.engines.base import Defaults, Flag, LaunchRequest, Sizing, flag_choices

# Best first. The cuda variant is locked but was never run: see its definition in aicp.environments.
_VARIANT_OF_VENDOR = {"nvidia": "cuda", "cpu": "cpu"}
_ENCODERS = ("Bert", "Roberta", "XLMRoberta", "Camembert", "DistilBert")
_OCR = "PP-OCR"
_TOKENS = ["/tokenize", "/detokenize"]
_ENDPOINTS = {
    # Between two embeddings the score is their cosine.
    ModelType.EMBEDDING: ["/v1/embeddings", "/v1/rerank", "/v1/score", *_TOKENS],
    ModelType.RERANK: ["/v1/rerank", "/v1/score", *_TOKENS],
    ModelType.CLASSIFICATION: ["/v1/moderations", *_TOKENS],
    ModelType.OCR: ["/v1/ocr"],
}
_USERS = 32
_BATCH_TOKENS = {"cpu": 2048, "cuda": 16384}
_PROCESS_BYTES = {"cpu": 95 * MIB, "cuda": 700 * MIB}
_OCR_BYTES = 560 * MIB
_FLOAT = 4


class LightEngine:
    """Our own server (distribution aicp-lightengine), written into an environment of ONNX Runtime's packages."""

    name = "light"
    title = "Light"
    versions: Sequence[str] = ("0.1.0",)
    formats = frozenset({ModelFormat.SAFETENSORS, ModelFormat.ONNX})
    internal = False
    environment = True
    specialty = frozenset(_ENDPOINTS)
    flags = {
        flag.name: flag
        for flag in (
            Flag("precision", "str", "matrices as published or in 8 bits, on processors", choices=("float32", "int8")),
            Flag("max_batch", "int", "texts computed together", 1, 1024),
            Flag("max_batch_tokens", "int", "tokens computed together, padding counted", 64, 131_072),
        )
    }
    continues: Mapping[str, str] = {}
    parallel = "max_batch"
    refused_fields: Sequence[str] = ("priority", "request_id")
    metrics = {
        "requests_running": "light:requests_running",
        "requests_waiting": "light:items_waiting",
        "prompt_tokens_total": "light:prompt_tokens_total",
        "generation_tokens_total": "light:generation_tokens_total",
    }

    def variants(self, accelerators: Sequence[Accelerator]) -> Sequence[str]:
        vendors = {accelerator.vendor for accelerator in accelerators}
        return [variant for vendor, variant in _VARIANT_OF_VENDOR.items() if vendor in vendors]

    def supports(self, version: ModelVersion, model_type: ModelType, accelerators: Sequence[Accelerator]) -> Fit:
        name = version.architecture.name
        if version.format not in self.formats:
            return Fit(
                fits=False,
                reason=f"{self.title} reads safetensors and ONNX, and this version is {version.format}.",
                suggestions=["Import the model as safetensors, or use the engine llamacpp."],
            )
        if model_type not in _ENDPOINTS:
            return Fit(
                fits=False,
                reason=f"{self.title} serves no models of the type {model_type}; their architecture here is {name}.",
            )
        if not self.variants(accelerators):
            return Fit(fits=False, reason=f"There is no {self.title} environment for the accelerators of this node.")
        problem = _problem(version, model_type)
        if problem:
            return Fit(fits=False, reason=f"{self.title} cannot serve {name} as {model_type}: {problem}.")
        return Fit(fits=True, reason=f"{self.title} serves {name} in a fraction of the memory of larger engines.")

    def endpoints(self, model_type: ModelType) -> Sequence[str]:
        return _ENDPOINTS.get(model_type, [])

    def defaults(self, version: ModelVersion, model_type: ModelType, mode: Mode, node_cores: float) -> Defaults:
        return Defaults(
            context_length=version.context_length or 512,
            users=_USERS,
            cpu_cores=min(1.0, node_cores),
            reasons={
                "context_length": "the longest text the model was made for",
                "users": "what waits while one batch is computed makes up the next",
                "cpu_cores": "a model this small is quick enough on one core; more speed up large batches",
            },
        )

    def settings(self, request: LaunchRequest) -> Sequence[Choice]:
        limit, asked = request.version.context_length, request.sizing.context_length
        if limit is not None and asked > limit:
            raise InvalidError(
                f"A context of {asked} tokens was asked, and the model was made for {limit}.",
                hint=f"Ask for at most {limit}.",
            )
        if request.flags.get("precision") == "int8" and request.variant != "cpu":
            raise InvalidError("Matrices in int8 are computed on processors only.", hint="Leave precision out.")
        chosen = {choice.name: choice for choice in _platform_choices(request)}
        for choice in flag_choices(self.flags, request.flags, request.mode):
            chosen[choice.name] = choice
        if request.model_type is not ModelType.OCR:
            _check_batch(request, chosen["max_batch_tokens"].value)
        return list(chosen.values())

    def estimate(
        self, version: ModelVersion, model_type: ModelType, mode: Mode, sizing: Sizing
    ) -> Sequence[MemoryPart]:
        kind = _kind(sizing.vendor)
        process = _process(kind)
        if model_type is ModelType.OCR:
            images = MemoryPart(
                name="activations", bytes=_OCR_BYTES, explanation="the largest image that is read, 2000 pixels wide"
            )
            return [_weights(version), images, process]
        return [_weights(version), _activations(version, sizing, _batch_tokens(kind, sizing)), process]

    def launch(self, request: LaunchRequest) -> LaunchSpec:
        command = ["{python}", "-I", "-m", "aicp_lightengine", "--model", request.served_name, "{model}"]
        command += ["--listen", "{listen}", "--device", request.variant, "--threads", "{threads}"]
        for choice in self.settings(request):
            command += ["--" + choice.name.replace("_", "-"), str(choice.value)]
        return LaunchSpec(
            engine=self.name,
            engine_version=request.engine_version,
            variant=request.variant,
            environment=self.environment,
            model_digest=request.version.digest,
            command=command,
            env={"LIGHT_TOKEN": "{token}"},
            listen="unix",
            health=HealthCheck(path="/health", token_path="/v1/models", start_timeout_seconds=120.0),
            stop_grace_seconds=5.0,
        )


def _problem(version: ModelVersion, model_type: ModelType) -> str | None:
    name, config = version.architecture.name, version.architecture.config
    if model_type is ModelType.OCR or version.format is ModelFormat.ONNX:
        fits = name == _OCR and model_type is ModelType.OCR and version.format is ModelFormat.ONNX
        return None if fits else f"images are read by the ONNX models of {_OCR}, and nothing else by ONNX files"
    head = "Model" if model_type is ModelType.EMBEDDING else "ForSequenceClassification"
    heads = (head, "ForMaskedLM") if model_type is ModelType.EMBEDDING else (head,)
    if name not in {family + known for family in _ENCODERS for known in heads}:
        return f"it computes {', '.join(_ENCODERS)} with the ending {' or '.join(heads)}"
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        return "only encoders with absolute positions are known"
    if version.quantization:
        return f"its weights are quantized with {version.quantization}"
    if not any(file.path == "tokenizer.json" for file in version.files):
        return "the file tokenizer.json is missing"
    return None


def _kind(device: str) -> str:
    """The key of the tables above for a vendor or a variant."""
    return "cpu" if device == "cpu" else "cuda"


def _batch_tokens(kind: str, sizing: Sizing) -> int:
    """Tokens of the largest batch where no flag says another number."""
    return max(_BATCH_TOKENS[kind], sizing.context_length)


def _check_batch(request: LaunchRequest, tokens: int) -> None:
    """A flag's batch beyond the platform's must fit into the replica's memory, which is estimated without flags.

    Raises InvalidError with the memory that it needs. Whole devices are not checked: an allocation tells what was
    needed of them, and not their size.
    """
    kind, version = _kind(request.variant), request.version
    if tokens <= _batch_tokens(kind, request.sizing):
        return
    slices = [device.memory_bytes for device in request.allocation.devices if device.mechanism is not None]
    given = request.allocation.memory_bytes if kind == "cpu" else sum(slices)
    parts = (_weights(version), _activations(version, request.sizing, tokens), _process(kind))
    needed = sum(part.bytes for part in parts)
    if 0 < given < needed:
        message = (
            f"Batches of {tokens} tokens need {format_bytes(needed)} of memory, and the replica has "
            f"{format_bytes(given)}."
        )
        raise InvalidError(
            message,
            hint="Give the service more memory, or lower max_batch_tokens.",
            details={"fields": {"spec.engine_flags.max_batch_tokens": message}},
        )


def _process(kind: str) -> MemoryPart:
    return MemoryPart(name="engine_overhead", bytes=_PROCESS_BYTES[kind], explanation="the server with its libraries")


def _platform_choices(request: LaunchRequest) -> list[Choice]:
    sizing = request.sizing
    tokens = _batch_tokens(_kind(request.variant), sizing)
    values = (
        ("context_length", sizing.context_length, "the longest text that was asked for"),
        ("max_batch", sizing.users, "the number of simultaneous requests that was asked for"),
        ("max_batch_tokens", tokens, "a batch this large uses the cores fully; a larger one only waits longer"),
        ("precision", "float32", "answers equal those of the published weights"),
    )
    return [Choice(name=name, value=value, chosen_by="platform", reason=reason) for name, value, reason in values]


def _weights(version: ModelVersion) -> MemoryPart:
    stored = version.weight_bytes
    copied = version.dtype in ("float16", "bfloat16")
    mapped = stored * 2 if copied else stored
    return MemoryPart(
        name="weights",
        bytes=mapped + _matrix_bytes(version),
        explanation="the weights in 32 bits, and the matrices once more as the processor reads them",
    )


def _matrix_bytes(version: ModelVersion) -> int:
    """Bytes in 32 bits of what is not the vocabulary's table."""
    shape = version.architecture
    table = (shape.vocab_size or 0) * (shape.hidden_size or 0)
    return max(0, ((version.parameters or 0) - table) * _FLOAT)


def _activations(version: ModelVersion, sizing: Sizing, tokens: int) -> MemoryPart:
    """One layer's values for a whole batch: about twelve rows of the hidden width, and each head's attention."""
    shape = version.architecture
    rows = tokens * 12 * (shape.hidden_size or 0)
    attention = tokens * sizing.context_length * (shape.attention_heads or 0)
    return MemoryPart(
        name="activations",
        bytes=(rows + attention) * _FLOAT,
        explanation=f"a batch of {tokens} tokens on its way through a layer",
    )


driver = LightEngine()
