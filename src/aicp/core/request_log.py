"""The request log: what a project keeps of its requests beyond their facts, and what of it must never be kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Base64Bytes, Field

from aicp.core.usage import Outcome, UsageQuery, UsageRecord
from aicp.core.value import Request, Value

MOST_BODY_BYTES = 512 * 1024
DEFAULT_BODY_BYTES = 64 * 1024
MOST_RETENTION_DAYS = 365
DEFAULT_RETENTION_DAYS = 30
MOST_PATTERNS = 10
LONGEST_PATTERN = 200


class Bodies(StrEnum):
    """Of which requests the bodies are kept."""

    OFF = "off"
    ERRORS = "errors"
    ALL = "all"


class Redactor(StrEnum):
    """What is taken out of bodies before they are written anywhere. Secrets always are."""

    SECRETS = "secrets"
    EMAILS = "emails"
    PHONE_NUMBERS = "phone_numbers"
    CREDIT_CARDS = "credit_cards"
    CHINESE_IDS = "chinese_ids"
    IP_ADDRESSES = "ip_addresses"


_Pattern = Annotated[str, Field(min_length=1, max_length=LONGEST_PATTERN)]


class RequestLogRuleSet(Request):
    """What is to be kept of a project's requests from now on."""

    bodies: Bodies = Field(description="off, errors (only of requests that failed) or all")
    share: float = Field(default=1.0, ge=0, le=1, description="of the requests that qualify, drawn by chance")
    redact: list[Redactor] = Field(
        default=list(Redactor), max_length=20, description="what is taken out; secrets are in every case"
    )
    patterns: list[_Pattern] = Field(
        default=[], max_length=MOST_PATTERNS, description="own regular expressions of what is taken out as well"
    )
    max_body_bytes: int = Field(
        default=DEFAULT_BODY_BYTES, ge=256, le=MOST_BODY_BYTES, description="of each body; the rest is cut off"
    )
    retention_days: int = Field(
        default=DEFAULT_RETENTION_DAYS, ge=1, le=MOST_RETENTION_DAYS, description="bodies are deleted after so long"
    )


class RequestLogRule(Value):
    """What is kept of a project's requests; `set_at` None: nobody has ever set it, so no bodies are."""

    project: str
    bodies: Bodies = Bodies.OFF
    share: float = 1.0
    redact: list[Redactor] = list(Redactor)
    patterns: list[str] = []
    max_body_bytes: int = DEFAULT_BODY_BYTES
    retention_days: int = DEFAULT_RETENTION_DAYS
    set_at: AwareDatetime | None = None
    set_by: str | None = None


class BodyRecord(Value):
    """The bodies of one request as a gateway ships them: redacted, cut, compressed with zlib."""

    request_id: str
    api_key_id: str
    project: str
    service: str
    started_at: AwareDatetime
    outcome: Outcome
    request: Base64Bytes | None = None
    request_kind: str = ""
    request_bytes: int = 0
    request_cut: bool = False
    answer: Base64Bytes | None = None
    answer_kind: str = ""
    answer_bytes: int = 0
    answer_cut: bool = False


class BodyBatch(Value):
    """Bodies shipped by a gateway; one that has come before changes nothing."""

    gateway_id: str
    sequence: int
    records: list[BodyRecord]


class LoggedRequest(UsageRecord):
    """One request, and whether its bodies were kept."""

    has_body: bool = False


class RequestPage(Value):
    """Requests, newest first; `next` leads on without passing over or repeating what comes in."""

    items: list[LoggedRequest]
    next: str | None = Field(default=None, description="what to send as `before` for the page after this one")


class KeptBody(Value):
    """One body: `text` None where it was no text or nothing came; `bytes` is what it had, `cut` that an end is missing.

    An answer that was a stream is put together from its events.
    """

    text: str | None
    kind: str = Field(description="its content type")
    bytes: int
    cut: bool


class RequestBodies(Value):
    """The bodies of one request as they were kept; what was taken out stands as `[redacted:...]`."""

    request_id: str
    project: str
    request: KeptBody
    answer: KeptBody
    kept_until: AwareDatetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestQuery(UsageQuery):
    """Which requests are wanted; None is no limit. `tag` is one of their key's, `failed` leaves what went wrong."""

    request_id: str | None = None
    """Its beginning."""
    status: int | None = None
    tag: str | None = None
    failed: bool = False
    with_body: bool = False
