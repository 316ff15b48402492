"""A prefix in an S3-compatible store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from boto3.session import Session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from aicp.core.errors import AicpError, ConflictError, InvalidError, NotFoundError, UnavailableError
from aicp.core.model import S3Source
from aicp.hubs.base import HubContext, HubFile, Listing, Sink, checked_endpoint, refusal_within, refuse_offline

_CHUNK_BYTES = 2**20
_ATTEMPTS = 6
_MAX_OBJECTS = 20_000
_BROKEN = (
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)


class S3Hub:
    """Lists a prefix and streams its objects; a cut stream goes on from its last byte while the ETag is the same."""

    local = False

    def resolve(self, source: S3Source, context: HubContext) -> Listing:
        refuse_offline(context, source)
        with checked_endpoint(source.endpoint, context.settings):
            return self._list(source, context)

    def _list(self, source: S3Source, context: HubContext) -> Listing:
        prefix = source.prefix.strip("/") + "/" if source.prefix.strip("/") else ""
        client = _client(source, context)
        files: list[HubFile] = []
        for page in _pages(client, source, prefix, context):
            for item in page.get("Contents", []):
                path = item["Key"][len(prefix) :]
                if path and not (path.endswith("/") and item["Size"] == 0):  # consoles make such "folders"
                    files.append(HubFile(path, item["Size"], stamp=item["ETag"], handle=item["Key"]))
            if len(files) > _MAX_OBJECTS:
                raise InvalidError(
                    f"There are more than {_MAX_OBJECTS:,} objects under the prefix.", hint="Name a longer prefix."
                )
        if not files:
            raise NotFoundError(
                f"There are no objects under s3://{source.bucket}/{prefix}.", hint="Check bucket and prefix."
            )
        name = prefix.rstrip("/").rpartition("/")[2] or source.bucket
        return Listing(identity=f"s3://{source.bucket}/{prefix}", files=files, name=name)

    def fetch(self, source: S3Source, file: HubFile, sink: Sink, context: HubContext) -> None:
        with checked_endpoint(source.endpoint, context.settings):
            client = _client(source, context)
            retry = _Retry(source, context)
            while True:
                before = sink.offset
                try:
                    return _stream(client, source.bucket, file, sink, context)
                except (ClientError, BotoCoreError) as error:
                    retry.after(error, gained=sink.offset > before)


class _Retry:
    """Waits between attempts; gives up after several that brought nothing. Also waits out 503 and 429."""

    def __init__(self, source: S3Source, context: HubContext) -> None:
        self._source = source
        self._context = context
        self._failures = 0

    def after(self, error: Exception, *, gained: bool = False) -> None:
        """Returns when it is time to try again. Raises the error in the user's words when it is not."""
        self._failures = 1 if gained else self._failures + 1
        if self._failures >= _ATTEMPTS or not _may_retry(error):
            raise _explain(error, self._source) from error
        wait = self._context.settings.retry_seconds * 2**self._failures
        while wait > 0:
            self._context.progress.advance(0)
            time.sleep(min(wait, 0.2))
            wait -= 0.2


def _stream(client: Any, bucket: str, file: HubFile, sink: Sink, context: HubContext) -> None:
    asked: dict[str, str] = {"Bucket": bucket, "Key": file.handle, "IfMatch": file.stamp}
    if sink.offset:
        asked["Range"] = f"bytes={sink.offset}-"
    answer = client.get_object(**asked)
    if sink.offset and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
        sink.restart()
    with answer["Body"] as body:
        while chunk := body.read(_CHUNK_BYTES):
            sink.write(chunk)
            context.progress.advance(len(chunk))
    if sink.offset < file.size_bytes:  # a short body can end without an error
        raise IncompleteReadError(actual_bytes=sink.offset, expected_bytes=file.size_bytes)


def _client(source: S3Source, context: HubContext) -> Any:
    endpoint = source.endpoint or context.settings.endpoints.get("s3")
    signed = source.access_key is not None and source.secret_key is not None
    config = Config(
        # without keys the request goes out unsigned: never with credentials that this machine happens to have
        signature_version=None if signed else UNSIGNED,
        retries={"total_max_attempts": 1},  # the driver tries again itself, from the last byte
        connect_timeout=10,
        read_timeout=30,
        s3={"addressing_style": "path"} if endpoint else None,
    )
    return Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=source.region or "us-east-1",
        aws_access_key_id=source.access_key if signed else None,
        aws_secret_access_key=source.secret_key if signed else None,
        config=config,
    )


def _pages(client: Any, source: S3Source, prefix: str, context: HubContext) -> Iterator[dict[str, Any]]:
    retry = _Retry(source, context)
    more: dict[str, str] = {}
    while True:
        try:
            page = client.list_objects_v2(Bucket=source.bucket, Prefix=prefix, **more)
        except (ClientError, BotoCoreError) as error:
            retry.after(error)
            continue
        yield page
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _may_retry(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return isinstance(error, _BROKEN) and refusal_within(error) is None
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or status == 429


def _explain(error: Exception, source: S3Source) -> AicpError:
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("NoSuchBucket", "NoSuchKey", "404"):
            return NotFoundError(f"s3://{source.bucket}/{source.prefix} does not exist.", hint="Check the name.")
        if code in ("PreconditionFailed", "412"):
            return ConflictError("An object changed while it was read.", hint="Import again.")
        if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"):
            return InvalidError(
                f"The store refuses access to s3://{source.bucket} ({code}).", hint="Check access key and secret key."
            )
    return UnavailableError(f"The object store does not answer ({str(error)[:300]}).", hint="Try again later.")


driver = S3Hub()
