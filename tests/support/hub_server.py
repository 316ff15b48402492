"""A server that hubs and archives are fetched from: redirects, ranges, and whatever goes wrong on purpose."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE_BYTES = 10_000
"""Files from here on are told of with their digest and served by a redirect, as hubs do."""


class HubServer(ThreadingHTTPServer):
    """Serves one repository `owner/tiny` as Hugging Face and as ModelScope do, and plain files below /files/.

    Faults, each used up by the requests it hits: `cuts[path]` bytes after which the connection breaks, `statuses[path]`
    answers instead of the content. `digests[path]` lies about a digest, `redirects[path]` leads elsewhere.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repo: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.cuts: dict[str, list[int]] = defaultdict(list)
        self.statuses: dict[str, list[int]] = defaultdict(list)
        self.digests: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.ignore_ranges = False
        self.etags = True
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges(self, path: str) -> list[str]:
        """The ranges that requests of a path asked for."""
        return [headers["range"] for _, seen, headers in self.seen if seen == path and "range" in headers]

    def digest(self, path: str) -> str:
        """The digest that is told of a file of the repository."""
        return self.digests.get(path) or hashlib.sha256(self.repo[path]).hexdigest()


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running server."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Stays silent."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        path, query = unquote(split.path), {key: value[0] for key, value in parse_qs(split.query).items()}
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.server.seen.append((self.command, path, headers))
        if self.server.statuses[path]:
            return self._answer(self.server.statuses[path].pop(0), b"")
        if path in self.server.redirects:
            return self._answer(302, b"", Location=self.server.redirects[path])
        if path.startswith("/files/"):
            return self._serve(path, self.server.files.get(path.removeprefix("/files/")))
        if path.startswith("/cdn/"):
            return self._serve(path, self.server.repo.get(path.removeprefix("/cdn/")))
        if path.startswith("/api/v1/models/owner/tiny/repo"):
            return self._modelscope(path, query)
        if path.startswith("/api/models/owner/tiny"):
            return self._json(self._huggingface())
        if path.startswith("/owner/tiny/resolve/commit1/"):
            return self._file(path.removeprefix("/owner/tiny/resolve/commit1/"), path)
        self._answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})

    def _huggingface(self) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for path, content in self.server.repo.items():
            entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": path}
            if len(content) >= LARGE_BYTES:
                entry["lfs"] = {"sha256": self.server.digest(path), "size": len(content), "pointerSize": 100}
            siblings.append(entry)
        card = {"license": "apache-2.0"}
        return {"id": "owner/tiny", "sha": "commit1", "siblings": siblings, "cardData": card, "tags": []}

    def _modelscope(self, path: str, query: dict[str, str]) -> None:
        if path.endswith("/repo/files"):
            files = [
                {"Path": name, "Size": len(content), "Sha256": self.server.digest(name), "Type": "blob"}
                for name, content in self.server.repo.items()
            ]
            return self._json({"Code": 200, "Success": True, "Data": {"Files": files}})
        self._file(query.get("FilePath", ""), path)

    def _file(self, name: str, path: str) -> None:
        content = self.server.repo.get(name)
        if content is not None and len(content) >= LARGE_BYTES:
            return self._answer(302, b"", Location=f"{self.server.url}/cdn/{name}")
        self._serve(path, content)

    def _serve(self, path: str, content: bytes | None) -> None:
        if content is None:
            return self._answer(404, b"", **{"X-Error-Code": "EntryNotFound"})
        status, extra, start = 200, {"Accept-Ranges": "bytes"}, 0
        if self.server.etags:
            extra["ETag"] = f'"{hashlib.sha256(content).hexdigest()}"'
        wanted = self.headers.get("Range")
        valid = self.headers.get("If-Range") in (None, extra.get("ETag"))
        if wanted and valid and not self.server.ignore_ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) if last else len(content) - 1
            if start >= len(content):
                return self._answer(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
            status, extra["Content-Range"] = 206, f"bytes {start}-{end}/{len(content)}"
            content = content[start : end + 1]
        if self.command == "GET" and self.server.cuts[path]:
            return self._cut(status, content, extra, self.server.cuts[path].pop(0))
        self._answer(status, content, **extra)

    def _cut(self, status: int, content: bytes, headers: dict[str, str], after: int) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content[:after])
        self.wfile.flush()
        self.close_connection = True

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
