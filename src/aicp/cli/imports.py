"""`aicp model import`: a source as people write it, with everything that a source can carry."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

import typer

from aicp.cli.connection import JsonFlag, WaitFlag, connect
from aicp.cli.output import out, print_json
from aicp.cli.progress import wait_for_job
from aicp.cli.uploads import FolderUpload
from aicp.client.rest import Client
from aicp.core.catalog import CatalogModel
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.model import (
    DirectorySource,
    HuggingFaceSource,
    ImportRequest,
    ImportSource,
    ModelScopeSource,
    ModelType,
    ModelVersion,
    S3Source,
    UploadSource,
    UrlSource,
    Visibility,
)

_KINDS = (UrlSource, S3Source, HuggingFaceSource, ModelScopeSource)
_OPTIONS = {"token": "--hub-token"}
"""Options that are called otherwise than the field of the source."""
_SECRET_HELP = "@FILE reads it from a file, - asks for it."


def parse_source(text: str) -> ImportSource | Path:
    """A source as people write it; a Path is a folder that may be on this machine only."""
    scheme, _, rest = text.partition("://")
    if scheme in ("http", "https"):
        return UrlSource(url=text)
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        return S3Source(bucket=bucket, prefix=prefix)
    if scheme in ("hf", "huggingface"):
        repo, _, revision = rest.partition("@")
        return HuggingFaceSource(repo=repo, revision=revision or None)
    if scheme in ("ms", "modelscope"):
        repo, _, revision = rest.partition("@")
        return ModelScopeSource(repo=repo, revision=revision or None)
    if "://" in text:
        raise InvalidError(
            f"{scheme}:// is no known source.",
            hint="Use a folder, https://, s3://, hf://OWNER/NAME or ms://OWNER/NAME.",
        )
    return Path(text)


def import_model(
    ctx: typer.Context,
    source: Annotated[
        str | None, typer.Argument(help="Folder, https://, s3://BUCKET/PREFIX, hf://OWNER/NAME, ms://OWNER/NAME.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="A model of the catalogue by its name (`aicp model catalog`).")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Model name; default: the source's last part.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Version name; default v1, v2, ...")] = None,
    type_: Annotated[ModelType | None, typer.Option("--type", help="Found from the files when not given.")] = None,
    description: str = "",
    visibility: Visibility = Visibility.PUBLIC,
    project: str = "default",
    license_: Annotated[str | None, typer.Option("--license")] = None,
    skip_unsafe: Annotated[bool, typer.Option("--skip-unsafe", help="Leave out code and pickles.")] = False,
    upload: Annotated[bool, typer.Option("--upload", help="Send the folder from this machine.")] = False,
    resume: Annotated[
        str | None, typer.Option(help="Take up this upload; the same folder again does so by itself.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="hf, ms: only weights that match, e.g. '*Q4_K_M*'; may be repeated.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="s3, hf, ms: another endpoint.")] = None,
    region: Annotated[str | None, typer.Option(help="s3: region of the bucket.")] = None,
    access_key: Annotated[
        str | None, typer.Option(envvar="AICP_S3_ACCESS_KEY", help=f"s3: access key. {_SECRET_HELP}")
    ] = None,
    secret_key: Annotated[
        str | None, typer.Option(envvar="AICP_S3_SECRET_KEY", help=f"s3: secret key. {_SECRET_HELP}")
    ] = None,
    hub_token: Annotated[
        str | None, typer.Option(envvar="AICP_HUB_TOKEN", help=f"hf, ms: token. {_SECRET_HELP}")
    ] = None,
    sha256: Annotated[str | None, typer.Option("--sha256", help="https: digest of the file, in hex.")] = None,
    wait: WaitFlag = True,
    json_: JsonFlag = False,
) -> None:
    """Import a model version from a folder, an upload, a URL, an object store, a hub or the catalogue."""
    if (source is None) == (from_ is None):
        raise typer.BadParameter("Name either a SOURCE or, with --from, a model of the catalogue.")
    client = connect(ctx)
    entry = find_entry(client.models.catalog(), from_) if from_ else None
    parsed = entry_source(entry) if entry else parse_source(source or "")
    given = {"include": include or None, "endpoint": endpoint, "region": region, "sha256": sha256}
    given |= {"access_key": access_key, "secret_key": secret_key, "token": hub_token}
    _refuse_misplaced(ctx, parsed, given, upload=upload, resume=resume)
    sending = None
    if isinstance(parsed, Path) and (upload or resume):
        sending = FolderUpload(client, parsed, project=project, resume=resume)
    request = ImportRequest(
        source=UploadSource(upload_id=sending.send()) if sending else complete_source(parsed, given),
        version=version,
        type=type_ or (entry.type if entry else None),
        description=description or (entry.description if entry else ""),
        visibility=visibility,
        project=project,
        license=license_ or (entry.license if entry else None),
        skip_unsafe=skip_unsafe,
    )
    model = name or (entry.name if entry else _last_part(parsed, source or ""))
    _run(client, model, request, sending, wait=wait, json_=json_)


def _run(
    client: Client, model: str, request: ImportRequest, sending: FolderUpload | None, *, wait: bool, json_: bool
) -> None:
    job = client.models.import_version(model, request)
    if wait:
        job = wait_for_job(client, job, f"Importing {model}")
        if sending:
            sending.forget()
    if json_:
        print_json(job)
    elif wait:
        done = client.models.get(model)
        out.print(f"Imported [bold]{model}[/] {done.latest.version if done.latest else ''}.")
        print_notes(done.latest)
    else:
        out.print(f"Job {job.id} imports {model}; follow it with `aicp job wait {job.id}`.")


def print_notes(version: ModelVersion | None) -> None:
    """What was noticed when the version was read."""
    for note in version.notes if version else []:
        out.print(f"  note: {note}", markup=False)


def find_entry(entries: list[CatalogModel], name: str) -> CatalogModel:
    """The entry called `name`. Raises NotFoundError that lists names like it."""
    wanted = name.lower()
    found = next((entry for entry in entries if wanted in (entry.name.lower(), entry.title.lower())), None)
    if found is not None:
        return found
    names = [entry.name for entry in entries]
    close = [known for known in names if wanted in known]
    close += [known for known in difflib.get_close_matches(wanted, names, n=5, cutoff=0.5) if known not in close]
    like = f"Names like it: {', '.join(close[:8])}." if close else "`aicp model catalog` lists all names."
    raise NotFoundError(f"The catalogue has no model {name!r}.", hint=like)


def entry_source(entry: CatalogModel) -> ImportSource:
    """Where an entry comes from: Hugging Face, or ModelScope for what is only there."""
    if entry.huggingface:
        return HuggingFaceSource(repo=entry.huggingface)
    if entry.modelscope:
        return ModelScopeSource(repo=entry.modelscope)
    raise NotFoundError(f"The catalogue knows no hub that has {entry.name}.", hint="Import it from its own source.")


def complete_source(parsed: ImportSource | Path, given: dict[str, Any]) -> ImportSource:
    """The source with what was given by options that it knows; secrets are read from where they are."""
    if isinstance(parsed, Path):
        return DirectorySource(path=str(parsed.absolute()))
    known = {field: value for field, value in given.items() if value is not None and field in type(parsed).model_fields}
    if "access_key" in known and "secret_key" not in known:
        known["secret_key"] = "-"
    for field, title in (("access_key", "Access key"), ("secret_key", "Secret key"), ("token", "Token of the hub")):
        if field in known:
            known[field] = read_secret(known[field], title)
    return type(parsed).model_validate({**parsed.model_dump(exclude_unset=True), **known})


def read_secret(text: str, title: str) -> str:
    """`text`, or what @FILE holds, or what is typed (unseen) for `-`. Raises InvalidError when that is nothing."""
    if text == "-":
        try:
            return typer.prompt(title, hide_input=True, err=True)
        except typer.Abort as error:
            raise InvalidError(f"{title} was not given.", hint="Name a file that holds it as @FILE.") from error
    if not text.startswith("@"):
        return text
    try:
        secret = Path(text[1:]).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{title}: {text[1:]} cannot be read.", hint="Name a file that holds only this.") from error
    if not secret:
        raise InvalidError(f"{title}: {text[1:]} is empty.", hint="Name a file that holds only this.")
    return secret


def _refuse_misplaced(
    ctx: typer.Context, parsed: ImportSource | Path, given: dict[str, Any], *, upload: bool, resume: str | None
) -> None:
    """An option that its source does not know is a mistake, unless it only stands in the environment."""
    fields = set[str]() if isinstance(parsed, Path) else set(type(parsed).model_fields)
    for field, value in given.items():
        option = _OPTIONS.get(field, f"--{field.replace('_', '-')}")
        parameter = option.removeprefix("--").replace("-", "_")
        origin = ctx.get_parameter_source(parameter)
        if value is None or field in fields or (origin is not None and origin.name == "ENVIRONMENT"):
            continue
        kinds = " or ".join(kind.model_fields["kind"].default for kind in _KINDS if field in kind.model_fields)
        raise InvalidError(f"{option} is for a source of kind {kinds}.", hint="See `aicp model import --help`.")
    if (upload or resume) and not isinstance(parsed, Path):
        raise InvalidError("--upload and --resume send a folder of this machine.", hint="Name the folder.")


def _last_part(parsed: ImportSource | Path, source: str) -> str:
    last = parsed.absolute().name if isinstance(parsed, Path) else source.split("@")[0].rstrip("/").rsplit("/", 1)[-1]
    return last.lower().replace(" ", "-")
