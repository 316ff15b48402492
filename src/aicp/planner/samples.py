"""The same publish as a command and a document, and the first call as code. Texts to copy."""

from __future__ import annotations

import json
import shlex
from typing import Any

from aicp.core.model import ModelType
from aicp.core.service import Mode, ServiceSpec

_KEY = "$AICP_API_KEY"
_BODIES: dict[ModelType, tuple[str, dict[str, Any]]] = {
    ModelType.CHAT: ("/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "stream": True}),
    ModelType.EMBEDDING: ("/embeddings", {"input": ["Hello"]}),
    ModelType.RERANK: ("/rerank", {"query": "Hello", "documents": ["A greeting", "A farewell"]}),
}


def _call(model_type: ModelType) -> tuple[str, dict[str, Any]]:
    return _BODIES.get(model_type, _BODIES[ModelType.CHAT])


def curl_sample(gateway_url: str, name: str, model_type: ModelType, key: str | None = None) -> str:
    """A first request with curl. Without a key it takes one from the environment."""
    path, body = _call(model_type)
    text = json.dumps({"model": name, **body})
    return (
        f"curl {gateway_url}{path} \\\n"
        f'  -H "Authorization: Bearer {key or _KEY}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(text)}"
    )


def python_sample(gateway_url: str, name: str, model_type: ModelType, key: str | None = None) -> str:
    """The same request with the `openai` package."""
    secret = json.dumps(key) if key else 'os.environ["AICP_API_KEY"]'
    imports = "from openai import OpenAI\n" if key else "import os\n\nfrom openai import OpenAI\n"
    head = f'{imports}\nclient = OpenAI(base_url="{gateway_url}", api_key={secret})\n'
    if model_type == ModelType.EMBEDDING:
        call = f'client.embeddings.create(model="{name}", input=["Hello"])'
        return f"{head}answer = {call}\nprint(answer.data[0].embedding)\n"
    if model_type == ModelType.RERANK:
        body = json.dumps({"model": name, **_call(model_type)[1]})
        return f'{head}print(client.post("/rerank", cast_to=object, body={body}))\n'
    return (
        f"{head}stream = client.chat.completions.create(\n"
        f'    model="{name}", messages=[{{"role": "user", "content": "Hello"}}], stream=True\n'
        f")\nfor chunk in stream:\n"
        f'    print(chunk.choices[0].delta.content or "", end="", flush=True)\n'
    )


def cli_command(name: str, project: str, spec: ServiceSpec) -> str:
    """The publish as an `aicp` command."""
    parts, plain = ["aicp", "publish", spec.model], ServiceSpec(model=spec.model)
    if name != spec.model.partition(":")[0]:
        parts += ["--name", name]
    options: dict[str, Any] = {
        "--project": None if project == "default" else project,
        "--mode": None if spec.mode == Mode.BALANCED else spec.mode.value,
        "--engine": spec.engine,
        "--engine-version": spec.engine_version,
        "--pool": None if spec.pool == "default" else spec.pool,
        "--cards": spec.compute.accelerators,
        "--vendor": spec.compute.vendor,
        "--cpu": spec.compute.cpu_cores,
        "--memory": spec.compute.memory_bytes,
        "--replicas": None if spec.replicas == 1 else spec.replicas,
        "--context": spec.context_length,
        "--users": spec.users,
        "--drain-seconds": None if spec.drain_seconds == plain.drain_seconds else f"{spec.drain_seconds:g}",
        "--visibility": None if spec.visibility == plain.visibility else spec.visibility.value,
    }
    for option, value in options.items():
        if value is not None:
            parts += [option, str(value)]
    for flag, value in spec.engine_flags.items():
        # The command reads JSON where it can, so that true stays a truth value and 1 a number.
        parts += ["--flag", f"{flag}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(parts)


def yaml_document(name: str, project: str, spec: ServiceSpec) -> str:
    """The publish as a document for `aicp apply`. Every JSON value is a YAML value."""
    given = spec.model_dump(mode="json", exclude_defaults=True)
    lines = ["kind: service", f"name: {json.dumps(name)}", f"project: {json.dumps(project)}", "spec:"]
    lines.extend(f"  {field}: {json.dumps(value)}" for field, value in given.items())
    return "\n".join(lines) + "\n"
