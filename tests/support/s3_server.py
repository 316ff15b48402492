"""An S3-compatible server behind a proxy that answers 503 and cuts connections when told to."""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from boto3.session import Session
from moto.server import ThreadedMotoServer

from aicp.core.model import S3Source

_KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


class S3Server(ThreadingHTTPServer):
    """The proxy. `failures`: how many object requests to answer with 503; `cuts`: bytes after
    which to hang up on an object that is longer."""

    daemon_threads = True

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), _Proxy)
        self.upstream = upstream
        self.failures = 0
        self.cuts: list[int] = []
        self.ranges: list[str] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, bucket: str, prefix: str, files: Mapping[str, bytes], *, part_bytes: int | None = None) -> S3Source:
        """Stores files below a prefix, those larger than `part_bytes` in parts; answers the source of them."""
        client = Session().client("s3", endpoint_url=f"http://127.0.0.1:{self.upstream}", **_KEYS)
        client.create_bucket(Bucket=bucket)
        for name, content in files.items():
            where = {"Bucket": bucket, "Key": f"{prefix}/{name}"}
            if part_bytes is None or len(content) <= part_bytes:
                client.put_object(**where, Body=content)
                continue
            upload = client.create_multipart_upload(**where)["UploadId"]
            parts = []
            for number, start in enumerate(range(0, len(content), part_bytes), 1):
                part = client.upload_part(
                    **where, UploadId=upload, PartNumber=number, Body=content[start : start + part_bytes]
                )
                parts.append({"PartNumber": number, "ETag": part["ETag"]})
            client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
        return S3Source(endpoint=self.url, bucket=bucket, prefix=prefix, access_key="key", secret_key="secret")


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A running server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    server = S3Server(moto.get_host_and_port()[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        moto.stop()


class _Proxy(BaseHTTPRequestHandler):
    server: S3Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Stays silent."""

    def do_GET(self) -> None:
        is_object = "list-type" not in self.path
        if is_object and self.server.failures:
            self.server.failures -= 1
            return self._send(503, b"<Error><Code>SlowDown</Code></Error>", {})
        if "Range" in self.headers:
            self.server.ranges.append(self.headers["Range"])
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        upstream.request("GET", self.path, headers=dict(self.headers.items()))
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        skipped = ("content-length", "transfer-encoding", "connection", "server", "date")
        headers = {key: value for key, value in answer.getheaders() if key.lower() not in skipped}
        long_enough = is_object and self.server.cuts and self.server.cuts[0] < len(content)
        cut = self.server.cuts.pop(0) if long_enough else None
        self._send(answer.status, content, headers, cut)

    def _send(self, status: int, content: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
