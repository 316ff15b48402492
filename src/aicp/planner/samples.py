"""A publish or a change as a command, a request and a document, and the first call as code. Texts to copy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from aicp.core.model import ModelType
from aicp.core.service import Service, ServiceCreate, ServiceSpec, ServiceUpdate
from aicp.core.slice import format_slice
from aicp.core.value import Request
from aicp.planner.scaling_options import scaling_options

_KEY = "$AICP_API_KEY"
# One white pixel as a PNG.
_PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAGB3XzgAAAABJRU5ErkJggg=="
)
_BODIES: dict[ModelType, tuple[str, dict[str, Any]]] = {
    ModelType.CHAT: ("/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "stream": True}),
    ModelType.EMBEDDING: ("/embeddings", {"input": ["Hello"]}),
    ModelType.RERANK: ("/rerank", {"query": "Hello", "documents": ["A greeting", "A farewell"]}),
    ModelType.CLASSIFICATION: ("/moderations", {"input": ["Hello"]}),
    ModelType.OCR: ("/ocr", {"image": _PICTURE}),
}


def _call(model_type: ModelType) -> tuple[str, dict[str, Any]]:
    return _BODIES.get(model_type, _BODIES[ModelType.CHAT])


def curl_sample(gateway_url: str, name: str, model_type: ModelType, key: str | None = None) -> str:
    """A first request with curl. Without a key it takes one from the environment."""
    path, body = _call(model_type)
    return _curl(f"{gateway_url}{path}", key or _KEY, json.dumps({"model": name, **body}))


def python_sample(gateway_url: str, name: str, model_type: ModelType, key: str | None = None) -> str:
    """The same request with the `openai` package."""
    secret = json.dumps(key) if key else 'os.environ["AICP_API_KEY"]'
    imports = "from openai import OpenAI\n" if key else "import os\n\nfrom openai import OpenAI\n"
    head = f'{imports}\nclient = OpenAI(base_url="{gateway_url}", api_key={secret})\n'
    if model_type == ModelType.EMBEDDING:
        call = f'client.embeddings.create(model="{name}", input=["Hello"])'
        return f"{head}answer = {call}\nprint(answer.data[0].embedding)\n"
    if model_type in (ModelType.RERANK, ModelType.CLASSIFICATION, ModelType.OCR):
        path, content = _call(model_type)
        body = json.dumps({"model": name, **content})
        return f'{head}print(client.post("{path}", cast_to=object, body={body}))\n'
    return (
        f"{head}stream = client.chat.completions.create(\n"
        f'    model="{name}", messages=[{{"role": "user", "content": "Hello"}}], stream=True\n'
        f")\nfor chunk in stream:\n"
        f'    print(chunk.choices[0].delta.content or "", end="", flush=True)\n'
    )


def publish_texts(name: str, body: ServiceCreate, rest_url: str) -> dict[str, str]:
    """The publish of `body` under `name` as the fields `cli`, `curl` and `yaml` of a plan."""
    return {
        "cli": publish_command(name, body),
        "curl": curl_command("POST", f"{rest_url}/api/v1/services", body),
        "yaml": yaml_document(name, body.project, body.description, body.spec, create_key=body.create_key),
    }


def change_texts(service: Service, body: ServiceUpdate, spec: ServiceSpec, rest_url: str) -> dict[str, str]:
    """The change of `service` to `spec` as the fields `cli`, `curl` and `yaml` of a plan."""
    description = service.description if body.description is None else body.description
    return {
        "cli": update_command(service, body, spec),
        "curl": curl_command("PATCH", f"{rest_url}/api/v1/services/{service.name}", body),
        "yaml": yaml_document(service.name, service.project, description, spec),
    }


def publish_command(name: str, body: ServiceCreate) -> str:
    """The publish as an `aicp` command. `name` is the one the service gets."""
    parts = ["aicp", "publish", body.spec.model]
    if name != body.spec.model.partition(":")[0]:
        parts += ["--name", name]
    if body.project != "default":
        parts += ["--project", body.project]
    if body.description:
        parts += ["--description", body.description]
    parts += _differences(ServiceSpec(model=body.spec.model), body.spec)
    if body.create_key:
        parts.append("--create-key")
    return shlex.join(parts)


def update_command(service: Service, body: ServiceUpdate, spec: ServiceSpec) -> str:
    """The change of `service` to `spec` as an `aicp` command: only what differs is said."""
    changes = _differences(service.spec, spec)
    if spec.model != service.spec.model:
        changes = ["--model", spec.model, *changes]
    if body.description not in (None, service.description):
        changes += ["--description", body.description or ""]
    # Without a difference, the same model again: its alias may stand for another version by now.
    return shlex.join(["aicp", "service", "update", service.name, *(changes or ["--model", spec.model])])


def curl_command(method: str, address: str, body: Request) -> str:
    """A request of the REST API as curl, with what was given in `body`."""
    return _curl(f"-X {method} {address}", "$AICP_TOKEN", json.dumps(_given(body), indent=2, ensure_ascii=False))


def yaml_document(name: str, project: str, description: str, spec: ServiceSpec, *, create_key: bool = False) -> str:
    """The service as `aicp apply` takes it, and with it the key that is limited to it."""
    service: dict[str, Any] = {"kind": "service", "name": name, "project": project}
    if description:
        service["description"] = description
    service["spec"] = spec.model_dump(mode="json", exclude_defaults=True)
    key = {"kind": "key", "name": name, "project": project, "models": [name]}
    documents = [service, key] if create_key else [service]
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=10_000)


def _curl(start: str, token: str, text: str) -> str:
    return (
        f"curl {start} \\\n"
        f'  -H "Authorization: Bearer {token}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(text)}"
    )


def _given(body: Request) -> dict[str, Any]:
    """What the sender said; null and empty objects say nothing."""
    given: dict[str, Any] = {}
    for name, value in body.model_dump(mode="json", exclude_unset=True).items():
        inner = getattr(body, name)
        given[name] = _given(inner) if isinstance(inner, Request) else value
    return {name: value for name, value in given.items() if value not in (None, {})}


def _differences(before: ServiceSpec, after: ServiceSpec) -> list[str]:
    """The options of `aicp publish` and `aicp service update` that make `before` into `after`, but for the model."""
    parts: list[str] = []
    old = _options(before)
    for option, value in _options(after).items():
        if value != old[option]:
            parts += ["--automatic", option] if value is None else [f"--{option}", value]
    if after.preemptible != before.preemptible:
        parts.append("--preemptible" if after.preemptible else "--not-preemptible")
    for flag, value in after.engine_flags.items():
        if flag not in before.engine_flags or before.engine_flags[flag] != value:
            parts += ["--flag", f"{flag}={_flag_text(value)}"]
    for flag in before.engine_flags:
        if flag not in after.engine_flags:
            parts += ["--unset-flag", flag]
    return [*parts, *scaling_options(before.autoscale, after.autoscale)]


def _options(spec: ServiceSpec) -> dict[str, str | None]:
    compute = spec.compute
    values: dict[str, Any] = {
        "mode": spec.mode.value,
        "engine": spec.engine,
        "engine-version": spec.engine_version,
        "pool": spec.pool,
        "nodes": compute.nodes,
        "cards": compute.accelerators,
        "slice": None if compute.slice is None else format_slice(compute.slice),
        "vendor": compute.vendor,
        "node-labels": _pairs(compute.node_labels),
        "tolerate": ",".join(compute.tolerations) if compute.tolerations else None,
        "cpu": compute.cpu_cores,
        "memory": compute.memory_bytes,
        "replicas": spec.replicas,
        "context": spec.context_length,
        "users": spec.users,
        "drain-seconds": spec.drain_seconds,
        "visibility": spec.visibility.value,
        "priority": spec.priority,
    }
    return {option: None if value is None else _option_text(value) for option, value in values.items()}


def _pairs(labels: Mapping[str, str] | None) -> str | None:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) if labels else None


def _option_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flag_text(value: Any) -> str:
    """A value as `--flag` reads it back: JSON where it parses as such, else text."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)
