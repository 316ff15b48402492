"""The llama.cpp driver: what it can serve, and how one replica of it is started."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from aicp.core.accelerator import Accelerator
from aicp.core.errors import InvalidError
from aicp.core.launch import HealthCheck, LaunchSpec
from aicp.core.model import ModelFormat, ModelType, ModelVersion
from aicp.core.service import Choice, Fit, MemoryPart, Mode
from aicp.engines.base import Defaults, Flag, LaunchRequest, Sizing, flag_choices
from aicp.engines.llamacpp import memory

_ARCHITECTURES = frozenset((Path(__file__).parent / "architectures.txt").read_text("utf-8").split())
_LATER_SHARD = re.compile(r"-(\d{5})-of-\d{5}\.gguf$")
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
    ModelType.EMBEDDING: ["/v1/embeddings", *_TOKENS],
    ModelType.RERANK: ["/v1/rerank", *_TOKENS],
}
_CACHE_TYPES = ("f16", "bf16", "q8_0", "q4_0")


class LlamaCppEngine:
    """llama-server from the release inside llama-cpp-python: one process, requests of all users in one batch."""

    name = "llamacpp"
    title = "llama.cpp"
    versions: Sequence[str] = ("0.3.36",)
    formats = frozenset({ModelFormat.GGUF})
    internal = False
    environment = True
    flags = {
        flag.name: flag
        for flag in (
            Flag("batch_size", "int", "tokens of all requests read in one go", 32, 8192),
            Flag("ubatch_size", "int", "tokens computed in one step", 32, 8192),
            Flag("cache_type_k", "str", "type of the keys in the KV cache", choices=_CACHE_TYPES),
            Flag("cache_type_v", "str", "type of the values in the KV cache", choices=_CACHE_TYPES),
            Flag("cache_reuse", "int", "shortest piece of an earlier prompt to use again; 0 never", 0, 4096),
            Flag(
                "context_shift", "bool", "drop the oldest tokens instead of ending at the context's end", default=False
            ),
            Flag("flash_attn", "str", "the attention kernel that needs less memory", choices=("on", "off", "auto")),
        )
    }
    # not in chats: this version says again what the last message, which it goes on with, has already said
    continues: Mapping[str, str] = {"/v1/completions": "prompt"}
    parallel = "parallel"
    refused_fields: Sequence[str] = (
        "cache_prompt",
        "chat_template",
        "chat_parser",
        "generation_prompt",
        "grammar_triggers",
        "id_slot",
        "lora",
        "n_cache_reuse",
        "n_predict",
        "priority",
        "request_id",
        "sse_ping_interval",
    )
    metrics = {
        "requests_running": "llamacpp:requests_processing",
        "requests_waiting": "llamacpp:requests_deferred",
        "prompt_tokens_total": "llamacpp:prompt_tokens_total",
        "prefix_cache_hits_total": "llamacpp:prompt_tokens_cached_total",
        "generation_tokens_total": "llamacpp:tokens_predicted_total",
    }

    def variants(self, accelerators: Sequence[Accelerator]) -> Sequence[str]:
        return ["cpu"] if any(accelerator.vendor == "cpu" for accelerator in accelerators) else []

    def supports(self, version: ModelVersion, model_type: ModelType, accelerators: Sequence[Accelerator]) -> Fit:
        name = version.architecture.name
        if version.format not in self.formats:
            return Fit(
                fits=False,
                reason=f"{self.title} reads GGUF files, and this version is {version.format}.",
                suggestions=["Use the engine vllm, or import a GGUF file of the model."],
            )
        if model_type not in _ENDPOINTS:
            return Fit(fits=False, reason=f"{self.title} is set up here for text; this model's type is {model_type}.")
        if not self.variants(accelerators):
            return Fit(fits=False, reason=f"There is no {self.title} environment for the accelerators of this node.")
        if name not in _ARCHITECTURES:
            return Fit(fits=False, reason=f"{self.title} {self.versions[0]} does not know the architecture {name}.")
        heads = _first_files(version)
        if len(heads) != 1:
            return Fit(
                fits=False,
                reason=f"The version holds {len(heads)} separate GGUF models, and a service serves one.",
                suggestions=["Import again with only one of them: " + ", ".join(heads) + "."],
            )
        return Fit(fits=True, reason=f"{self.title} serves {name}.")

    def endpoints(self, model_type: ModelType) -> Sequence[str]:
        return _ENDPOINTS.get(model_type, [])

    def defaults(self, version: ModelVersion, model_type: ModelType, mode: Mode, node_cores: float) -> Defaults:
        long = mode is Mode.LONG_TEXT
        wanted, users = (32768, 1) if long else (4096, 4)
        limit = version.context_length
        cores = max(1.0, float(int(node_cores) if node_cores < 4 else int(node_cores) // 2))
        bounded = limit is not None and limit <= wanted
        return Defaults(
            context_length=min(wanted, limit) if limit else wanted,
            users=users,
            cpu_cores=cores,
            reasons={
                "context_length": "the model's own limit"
                if bounded
                else f"enough for mode {mode}; ask for more if needed",
                "users": "a step for four users takes about four times as long here; more users want vLLM",
                "cpu_cores": "all cores of a small node, half of a larger one",
            },
        )

    def settings(self, request: LaunchRequest) -> Sequence[Choice]:
        limit = request.version.context_length
        sizing = request.sizing
        if limit is not None and sizing.context_length > limit:
            raise InvalidError(
                f"A context of {sizing.context_length} tokens was asked, and the model was made for {limit}.",
                hint=f"Ask for at most {limit}.",
            )
        chosen = {choice.name: choice for choice in _platform_choices(request)}
        for choice in flag_choices(self.flags, request.flags, request.mode):
            chosen[choice.name] = choice
        return list(chosen.values())

    def estimate(
        self, version: ModelVersion, model_type: ModelType, mode: Mode, sizing: Sizing
    ) -> Sequence[MemoryPart]:
        return memory.memory_parts(version, model_type, sizing)

    def launch(self, request: LaunchRequest) -> LaunchSpec:
        heads = _first_files(request.version)
        if len(heads) != 1:
            raise InvalidError("The version does not hold exactly one GGUF model.", hint="Import one GGUF file.")
        model = ["--model", "{model_file}", "--alias", request.served_name]
        arguments = [*_FIXED_ARGUMENTS]
        for choice in self.settings(request):
            arguments += _words(choice)
        if request.model_type is not ModelType.CHAT:
            arguments.append("--rerank" if request.model_type is ModelType.RERANK else "--embeddings")
        return LaunchSpec(
            engine=self.name,
            engine_version=request.engine_version,
            variant=request.variant,
            environment=self.environment,
            model_digest=request.version.digest,
            weights_file=heads[0],
            command=["{python}", "-m", "llama_server", *model, "--host", "{listen}", *arguments],
            network_command=["llama-server", *model, "--host", "{host}", "--port", "{port}", *arguments],
            env={"LLAMA_API_KEY": "{token}", **_ENVIRONMENT},
            listen="unix",
            health=HealthCheck(path="/health", token_path="/props"),
        )


# Passive waiting: spinning threads cost seven times the latency when anything else runs on the same cores.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
# No page for browsers, no inspection of other users' requests, nothing fetched, no cache beyond the fixed KV buffer.
_FIXED_ARGUMENTS = ("--no-webui", "--no-slots", "--metrics", "--offline", "--cache-ram", "0", "--poll", "0")


def _words(choice: Choice) -> list[str]:
    option = "--" + choice.name.replace("_", "-")
    if isinstance(choice.value, bool):
        return [option if choice.value else f"--no-{option[2:]}"]
    return [option, str(choice.value)]


def _first_files(version: ModelVersion) -> list[str]:
    """Files that a model begins with: every GGUF file but later shards and image projectors."""
    found: list[str] = []
    for file in sorted(version.files, key=lambda file: file.path):
        name = file.path.rsplit("/", 1)[-1].lower()
        shard = _LATER_SHARD.search(name)
        if name.endswith(".gguf") and not name.startswith("mmproj") and (shard is None or shard.group(1) == "00001"):
            found.append(file.path)
    return found


def _platform_choices(request: LaunchRequest) -> list[Choice]:
    sizing = request.sizing
    threads = max(1, int(request.allocation.cpu_cores))
    long = request.mode is Mode.LONG_TEXT
    step = memory.STEP_TOKENS
    why = "larger steps do not read prompts faster on a processor"
    if request.model_type is not ModelType.CHAT:
        step, why = max(step, sizing.context_length), "a text is embedded in one piece, so a step holds the longest one"
    values = (
        ("ctx_size", memory.total_context(sizing), f"{sizing.users} users with {sizing.context_length} tokens each"),
        ("parallel", sizing.users, "the number of simultaneous requests that was asked for"),
        ("threads", threads, "one computing thread for each allocated core"),
        (
            "batch_size",
            max(2048 if long else 512, step),
            "long prompts go in larger pieces" if long else "even streaming",
        ),
        ("ubatch_size", step, why),
    )
    return [Choice(name=name, value=value, chosen_by="platform", reason=reason) for name, value, reason in values]
