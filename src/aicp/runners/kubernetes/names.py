"""Labels, annotations and names of everything this runner makes, and how they are read back."""

from __future__ import annotations

import hashlib
import hmac
import re

from kubernetes.aio import client

PART_OF = {"app.kubernetes.io/name": "aicp"}
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
RUNNER = "aicp-runner"
REPLICA = "aicp.io/replica"
SERVICE = "aicp.io/service"
GENERATION = "aicp.io/generation"
MEMBER = "aicp.io/member"
NODES = "aicp.io/nodes"
LIMITS = "aicp.io/limits"
START_SECONDS = "aicp.io/start-seconds"
SELECTOR = f"{MANAGED_BY}={RUNNER}"
ENGINE_ACCOUNT = "aicp-engine"
ENGINE_PORT = 8000
"""Where every engine listens inside of its pod."""

_LABEL = re.compile(r"[^A-Za-z0-9_.-]")
_PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,28}[a-z0-9]")


def object_name(replica_id: str, generation: int) -> str:
    """A DNS label of at most 40 characters: controllers add their own endings to it."""
    text = re.sub(r"[^a-z0-9-]", "-", replica_id.lower()).strip("-")
    if not _PLAIN_ID.fullmatch(replica_id):  # another id may look the same once it is a label
        text = f"{text[:20].rstrip('-')}-{hashlib.sha256(replica_id.encode()).hexdigest()[:8]}"
    return f"aicp-{text}-{generation}"[:40].rstrip("-")


def label_value(text: str) -> str:
    """Text as a label may hold it: at most 63 letters, digits, `-`, `_` and `.`."""
    return _LABEL.sub("-", text)[:63].strip("-_.")


def engine_token(key: str, replica_id: str, generation: int) -> str:
    """What the engine of one start wants as bearer: HMAC-SHA256 (RFC 2104), so that nobody has to read it back."""
    message = f"aicp engine {replica_id} {generation}".encode()
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def head(found: client.V1Pod | client.V1Node | client.V1Deployment) -> client.V1ObjectMeta:
    """The metadata, which every object of an API server has."""
    assert found.metadata is not None
    return found.metadata


def label(pod: client.V1Pod, name: str) -> str:
    """A label of a pod; empty where it has none of that name."""
    return (head(pod).labels or {}).get(name, "")
