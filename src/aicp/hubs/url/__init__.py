"""An archive (tar, tar.gz, zip) or a single GGUF file over HTTP(S)."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from aicp.core.errors import InvalidError
from aicp.core.model import UrlSource
from aicp.hubs.base import HubContext, HubFile, Listing, Sink, refuse_offline
from aicp.hubs.url.archive import unpack
from aicp.hubs.url.download import download

_SIGNATURE = re.compile(
    r"x-(amz|goog|oss|cos)-.*|signature|sig|expires|key-pair-id|policy|(aws|google|oss)access(key)?id"
    r"|se|sp|sr|sv|st|spr|ske|skoid|sks|skt|sktid|skv",
    re.IGNORECASE,
)
"""Parameters with which the stores of the large clouds sign an address for some time."""


class UrlHub:
    """Downloads once into the work directory, unpacks there under numbers instead of names, then hands files over."""

    local = False

    def resolve(self, source: UrlSource, context: HubContext) -> Listing:
        refuse_offline(context, source)
        name = unquote(PurePosixPath(urlsplit(source.url).path).name) or "model"
        manifest = context.work_dir / "unpacked.json"
        if not manifest.exists():
            unfinished = manifest.with_suffix(".new")
            unfinished.write_text(json.dumps(self._bring(source, name, context)))
            unfinished.replace(manifest)
        files = [
            HubFile(path, size, stamp=source.url, handle=place)  # the work directory is this import's own
            for path, size, place in json.loads(manifest.read_text())
        ]
        shown = source.url.partition("?")[0]  # the query of a signed address is a credential
        return Listing(identity=shown, files=files, name=name)

    def _bring(self, source: UrlSource, name: str, context: HubContext) -> list[tuple[str, int, str]]:
        """(path, size, name in the work directory) of all files, downloaded and unpacked."""
        target = context.work_dir / "download"
        if not target.exists():
            context.progress.say("downloading")
            with context.unfinished(_place(source)) as folder:
                download(source.url, folder / "arriving", context)
                (folder / "arriving").replace(target)
        _check_digest(target, source.sha256)
        with target.open("rb") as file:
            is_gguf = file.read(4) == b"GGUF"
        if is_gguf:
            path = name if name.lower().endswith(".gguf") else f"{name}.gguf"
            return [(path, target.stat().st_size, target.name)]
        context.progress.say("unpacking")
        unpacked = unpack(target, context.work_dir / "files", context)
        target.unlink()
        return [(path, place.stat().st_size, f"files/{place.name}") for path, place in unpacked]

    def fetch(self, source: UrlSource, file: HubFile, sink: Sink, context: HubContext) -> None:
        sink.take(context.work_dir / file.handle)
        context.progress.advance(file.size_bytes)


def _place(source: UrlSource) -> str:
    """The address without what only signs it: the next signature leads to the same file."""
    parts = urlsplit(source.url)
    query = [(name, value) for name, value in parse_qsl(parts.query, True) if not _SIGNATURE.fullmatch(name)]
    return f"url:{parts._replace(query=urlencode(query), fragment='').geturl()}:{source.sha256 or ''}"


def _check_digest(target: Path, wanted: str | None) -> None:
    if wanted is None:
        return
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted.lower():
        target.unlink()
        raise InvalidError(
            f"The file's SHA-256 is {found} and not {wanted}.",
            hint="Check the address and the digest.",
            code="digest_mismatch",
        )


driver = UrlHub()
