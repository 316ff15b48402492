"""`aicp apply` and `aicp export`: models, services, providers, routes, cache rules and keys as YAML.

A document has `kind` (model, service, provider, route, cache-rule or key), `name`, and the fields of the REST request.
A model of several versions is several documents, oldest first. Applying twice is harmless.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from aicp.cli.connection import JsonFlag, WaitFlag, connect
from aicp.cli.declared_routes import (
    apply_cache_rule,
    apply_provider,
    apply_route,
    cache_rule_documents,
    route_documents,
)
from aicp.cli.imports import parse_source
from aicp.cli.output import err, out, print_json
from aicp.cli.progress import wait_for_job, wait_for_service
from aicp.client.rest import Client
from aicp.core.api_key import ApiKeyCreate, ApiKeyUpdate
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.model import DirectorySource, ImportRequest, Model, ModelCreate, ModelUpdate, ModelVersion
from aicp.core.service import Service, ServiceCreate, ServiceUpdate

Document = dict[str, Any]
UPLOAD = "upload"
"""The `source` of a version whose files nobody but their sender can name."""
Result = str
"""created, changed or unchanged."""


def read_documents(path: Path) -> list[Document]:
    """The documents of a YAML file; `-` is standard input. Raises InvalidError that names the document at fault."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidError(f"{path} cannot be read as YAML: {error}") from error
    for number, document in enumerate(documents, start=1):
        if isinstance(document, dict) and isinstance(document.get("kind"), str):
            document["kind"] = document["kind"].lower()
        if not isinstance(document, dict) or document.get("kind") not in APPLY or not document.get("name"):
            raise InvalidError(
                f"Document {number} of {path} needs a `name`, and as `kind` one of {', '.join(APPLY)}.",
                hint="See `aicp export` for the form.",
            )
    # A service needs its model, a route its destinations, a rule or a key may name any of them.
    return sorted(documents, key=lambda document: list(APPLY).index(document["kind"]))


def apply_model(client: Client, document: Document, wait: bool) -> Result:
    """Makes the model, and imports `source` when the model has no version or lacks the named one; sets `aliases`."""
    name, fields = document["name"], {k: v for k, v in document.items() if k not in ("kind", "name", "aliases")}
    source = {key: fields.pop(key) for key in ("source", "version", "license", "skip_unsafe") if key in fields}
    created = ModelCreate.model_validate({"name": name, **fields})  # a misspelt field is told before any change
    try:
        model: Model | None = client.models.get(name)
        have = {version.version for version in client.models.versions(name)}
    except NotFoundError:
        model, have = None, set[str]()
    wanted = source.get("version")
    missing = "source" in source and (wanted not in have if wanted else not have)
    request = _import_request(name, source, fields) if missing else None
    result = "unchanged"
    if model is None:
        client.models.create(created)
        result = "created"
    elif changes := {key: value for key, value in fields.items() if key != "project" and getattr(model, key) != value}:
        client.models.update(name, ModelUpdate.model_validate(changes))
        result = "changed"
    if request is not None:
        job = client.models.import_version(name, request)
        result = "created" if result == "created" else "changed"
        if wait or document.get("aliases"):  # an alias needs the version it points at
            wait_for_job(client, job, f"Importing {name}")
    aliased = _apply_aliases(client, name, document.get("aliases") or {})
    return "changed" if aliased and result == "unchanged" else result


def _import_request(name: str, source: Document, fields: Document) -> ImportRequest:
    given = source["source"]
    if given == UPLOAD:
        raise InvalidError(
            f"model {name}: its files were sent from somebody's machine, so nothing here names them.",
            hint=f"Send them first: `aicp model import FOLDER --upload --name {name}"
            + (f" --version {source['version']}`" if "version" in source else "`")
            + ", or write another `source`.",
        )
    if isinstance(given, str):  # as `aicp model import` takes it
        found = parse_source(given)
        given = DirectorySource(path=str(found.absolute())) if isinstance(found, Path) else found
    return ImportRequest.model_validate({**source, "source": given, **fields})


def _apply_aliases(client: Client, name: str, wanted: dict[str, str]) -> bool:
    """Points aliases at their versions; those not named stay. Whether one changed."""
    have = client.models.get(name).aliases
    differing = {alias: version for alias, version in wanted.items() if have.get(alias) != version}
    for alias, version in differing.items():
        client.models.set_alias(name, alias, version)
    return bool(differing)


def apply_service(client: Client, document: Document, wait: bool) -> Result:
    """Publishes, or makes a new revision when the spec differs."""
    fields = {key: value for key, value in document.items() if key != "kind"}
    wanted = ServiceCreate.model_validate(fields)
    try:
        service = client.services.get(document["name"])
    except NotFoundError:
        published = client.services.create(wanted)
        if published.key:
            err.print(f"Key {published.service.name} (shown once): {published.key}", markup=False)
        result, generation = "created", None
    else:
        if service.spec == wanted.spec and service.description == wanted.description:
            return "unchanged"
        changes = ServiceUpdate(spec=wanted.spec, description=wanted.description)
        generation = client.services.update(service.name, changes).generation
        result = "changed"
    if wait:
        wait_for_service(client, document["name"], f"Starting {document['name']}", generation=generation)
    return result


def apply_key(client: Client, document: Document, wait: bool) -> Result:
    """Makes the key (its secret is printed once), or changes what differs."""
    wanted = ApiKeyCreate.model_validate({key: value for key, value in document.items() if key != "kind"})
    live = [key for key in client.keys.list(project=wanted.project) if key.name == wanted.name and not key.revoked_at]
    if not live:
        fields = {name: getattr(wanted, name) for name in _KEY_FIELDS}
        created = client.keys.create(wanted.name, project=wanted.project, **fields)
        err.print(f"Key {created.key.name} (shown once): {created.secret}", markup=False)
        return "created"
    changes = {name: getattr(wanted, name) for name in _KEY_FIELDS if getattr(wanted, name) != getattr(live[0], name)}
    if not changes:
        return "unchanged"
    client.keys.update(live[0].id, ApiKeyUpdate(**changes))
    return "changed"


_KEY_FIELDS = (
    "models",
    "expires_at",
    "limits",
    "priority",
    "weight",
    "networks",
    "max_output_tokens",
    "defaults",
    "tags",
)

APPLY: dict[str, Callable[[Client, Document, bool], Result]] = {
    "model": apply_model,
    "service": apply_service,
    "provider": apply_provider,
    "route": apply_route,
    "cache-rule": apply_cache_rule,
    "key": apply_key,
}


def apply(
    ctx: typer.Context,
    file: Annotated[Path, typer.Option("--file", "-f", help="YAML file; - is standard input.")],
    wait: WaitFlag = True,
    json_: JsonFlag = False,
) -> None:
    """Make models, services, providers, routes, cache rules and keys as YAML says; what is so already stays."""
    client = connect(ctx)
    results: list[Document] = []
    for document in read_documents(file):
        try:
            result = APPLY[document["kind"]](client, document, wait)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidError(f"{document['kind']} {document['name']}: {where}: {first['msg']}") from error
        results.append({"kind": document["kind"], "name": document["name"], "result": result})
        if not json_:
            out.print(f"{document['kind']} {document['name']}: {result}", markup=False)
    if json_:
        print_json(results)


def source_of(version: ModelVersion) -> tuple[Document | str, list[str]]:
    """Where `version` can be had again, as `apply` takes it, and what a reader must know; never a secret."""
    kind, _, rest = version.source.partition(":")
    told = version.lineage
    secrets: list[str] = told.get("credentials", [])
    extras = {name: told[name] for name in ("endpoint", "include") if name in told}
    needed = f"Credentials were needed ({', '.join(secrets)}) and are not exported: add them to `source`."
    notes = [needed] if secrets else []
    match kind:
        case "directory":
            return {"kind": kind, "path": rest}, ["A folder of the platform's own machine."]
        case "huggingface" | "modelscope":
            revision = {"revision": told["revision"]} if "revision" in told else {}
            return {"kind": kind, "repo": rest, **revision, **extras}, notes
        case "s3":
            bucket, _, prefix = rest.removeprefix("//").partition("/")
            region = {"region": told["region"]} if "region" in told else {}
            return {"kind": kind, "bucket": bucket, "prefix": prefix, **extras, **region}, notes
        case "http" | "https":
            digest = {"sha256": told["sha256"]} if "sha256" in told else {}
            signed = ["The address was signed; a new signature (all after `?`) must be added."] if secrets else []
            return {"kind": "url", "url": version.source, **digest}, signed
        case _:
            return UPLOAD, ["Sent from somebody's machine: `aicp model import FOLDER --upload` before applying."]


def _model_documents(client: Client, model: Model) -> Iterator[tuple[Document, list[str]]]:
    facts = {"type": model.type.value, "visibility": model.visibility.value, "project": model.project}
    head = {"kind": "model", "name": model.name, "description": model.description, **facts}
    moved = {alias: version for alias, version in model.aliases.items() if alias != "latest"}
    aliases = {"aliases": moved} if moved else {}
    versions = [*reversed(client.models.versions(model.name))]
    if not versions:
        yield head, []
    for version in versions:
        source, notes = source_of(version)
        more: Document = {"version": version.version, "source": source}
        more |= {"license": version.license} if version.license else {}
        more |= {"skip_unsafe": True} if version.lineage.get("skip_unsafe") else {}
        yield {**head, **more, **(aliases if version is versions[-1] else {})}, notes


def _service_document(service: Service) -> Document:
    spec = service.spec.model_dump(mode="json", exclude_defaults=True)
    document = {"kind": "service", "name": service.name, "project": service.project}
    return {**document, "description": service.description, "spec": spec}


def documents_of(client: Client, project: str | None) -> Iterator[tuple[Document, list[str]]]:
    """Everything that `apply` can make again, each with what a reader must know; never a secret."""
    for model in client.models.list(project=project):
        yield from _model_documents(client, model)
    for service in client.services.list(project=project):
        yield _service_document(service), []
    yield from route_documents(client, project)
    yield from cache_rule_documents(client, project)
    # By name, as models and services are: the same platform made elsewhere is then the same export.
    for key in sorted(client.keys.list(project=project), key=lambda key: (key.name, key.project)):
        if not key.revoked_at:
            fields = key.model_dump(mode="json", exclude_defaults=True, include={*_KEY_FIELDS} - {"models"})
            for name in fields.keys() & {"limits", "defaults"}:
                fields[name] = getattr(key, name).model_dump(mode="json", exclude_none=True)
            yield {"kind": "key", "name": key.name, "project": key.project, "models": key.models, **fields}, []


def export(ctx: typer.Context, project: str | None = None) -> None:
    """Print models, services, providers, routes, cache rules and keys as YAML that `apply` reads."""
    for document, notes in documents_of(connect(ctx), project):
        comments = "".join(f"# {note}\n" for note in notes)
        typer.echo(f"---\n{comments}{yaml.safe_dump(document, sort_keys=False, allow_unicode=True)}", nl=False)
