"""`aicp apply` and `aicp export`: models, services and keys as YAML documents.

A document has `kind` (model, service or key), `name`, and the fields of the REST request. Applying twice is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from aicp.cli.connection import WaitFlag, connect
from aicp.cli.output import err, out
from aicp.cli.progress import wait_for_job, wait_for_service
from aicp.client.rest import Client
from aicp.core.api_key import ApiKeyUpdate
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.model import ImportRequest, ModelCreate, ModelUpdate
from aicp.core.service import Service, ServiceCreate, ServiceUpdate

Document = dict[str, Any]
Result = str
"""created, changed or unchanged."""


def read_documents(path: Path) -> list[Document]:
    """The documents of a YAML file. Raises InvalidError that names the document and field at fault."""
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document is not None]
    except (OSError, yaml.YAMLError) as error:
        raise InvalidError(f"{path} cannot be read as YAML: {error}") from error
    for number, document in enumerate(documents, start=1):
        if isinstance(document, dict) and isinstance(document.get("kind"), str):
            document["kind"] = document["kind"].lower()
        if not isinstance(document, dict) or document.get("kind") not in APPLY or not document.get("name"):
            raise InvalidError(
                f"Document {number} of {path} needs a `kind` (model, service or key) and a `name`.",
                hint="See `aicp export` for the form.",
            )
    # A service needs its model, a key may name the service.
    return sorted(documents, key=lambda document: list(APPLY).index(document["kind"]))


def apply_model(client: Client, document: Document, wait: bool) -> Result:
    """Makes the model, and imports `source` when the model has no version or lacks the named one."""
    name, fields = document["name"], {k: v for k, v in document.items() if k not in ("kind", "name")}
    source = {key: fields.pop(key) for key in ("source", "version", "license", "skip_unsafe") if key in fields}
    try:
        model = client.models.get(name)
        result = "unchanged"
        changes = {key: value for key, value in fields.items() if key != "project" and getattr(model, key) != value}
        if changes:
            client.models.update(name, ModelUpdate.model_validate(changes))
            result = "changed"
        have = {version.version for version in client.models.versions(name)}
    except NotFoundError:
        client.models.create(ModelCreate.model_validate({"name": name, **fields}))
        result, have = "created", set[str]()
    wanted = source.get("version")
    if "source" in source and (wanted not in have if wanted else not have):
        job = client.models.import_version(name, ImportRequest.model_validate({**source, **fields}))
        result = "created" if result == "created" else "changed"
        if wait:
            wait_for_job(client, job, f"Importing {name}")
    return result


def apply_service(client: Client, document: Document, wait: bool) -> Result:
    """Publishes, or makes a new revision when the spec differs."""
    fields = {key: value for key, value in document.items() if key != "kind"}
    wanted = ServiceCreate.model_validate(fields)
    try:
        service = client.services.get(document["name"])
    except NotFoundError:
        client.services.create(wanted)
        result = "created"
    else:
        if service.spec == wanted.spec and service.description == wanted.description:
            return "unchanged"
        client.services.update(service.name, ServiceUpdate(spec=wanted.spec, description=wanted.description))
        result = "changed"
    if wait:
        wait_for_service(client, document["name"], f"Starting {document['name']}")
    return result


def apply_key(client: Client, document: Document, wait: bool) -> Result:
    """Makes the key (its secret is printed once), or changes its models and expiry."""
    fields = {key: value for key, value in document.items() if key != "kind"}
    project = fields.get("project", "default")
    live = [key for key in client.keys.list(project=project) if key.name == fields["name"] and not key.revoked_at]
    if not live:
        created = client.keys.create(fields["name"], project=project, models=fields.get("models"))
        err.print(f"Key {created.key.name} (shown once): {created.secret}", markup=False)
        return "created"
    if live[0].models == fields.get("models"):
        return "unchanged"
    client.keys.update(live[0].id, ApiKeyUpdate(models=fields.get("models")))
    return "changed"


APPLY: dict[str, Callable[[Client, Document, bool], Result]] = {
    "model": apply_model,
    "service": apply_service,
    "key": apply_key,
}


def apply(
    ctx: typer.Context,
    file: Annotated[Path, typer.Option("--file", "-f", help="YAML file.")],
    wait: WaitFlag = True,
) -> None:
    """Make models, services and keys as a YAML file says; what already is so stays untouched."""
    client = connect(ctx)
    for document in read_documents(file):
        try:
            result = APPLY[document["kind"]](client, document, wait)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidError(f"{document['kind']} {document['name']}: {where}: {first['msg']}") from error
        out.print(f"{document['kind']} {document['name']}: {result}")


def _service_document(service: Service) -> Document:
    spec = service.spec.model_dump(mode="json", exclude_defaults=True)
    return {"kind": "service", "name": service.name, "project": service.project, "spec": spec}


def documents_of(client: Client, project: str | None) -> Iterator[Document]:
    """Everything that `apply` can make again; never a secret."""
    for model in client.models.list(project=project):
        facts = {"type": model.type.value, "visibility": model.visibility.value, "project": model.project}
        yield {"kind": "model", "name": model.name, "description": model.description, **facts}
    for service in client.services.list(project=project):
        yield _service_document(service)
    for key in client.keys.list(project=project):
        if not key.revoked_at:
            yield {"kind": "key", "name": key.name, "project": key.project, "models": key.models}


def export(ctx: typer.Context, project: str | None = None) -> None:
    """Print models, services and keys as YAML that `apply` reads."""
    documents = list(documents_of(connect(ctx), project))
    typer.echo(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True), nl=False)
