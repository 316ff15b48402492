"""What this runner is told of its cluster."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aicp.core.errors import InvalidError

SCHEDULERS = ("none", "hami", "volcano")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CLAIM = "claim:"
_NODE = "node:"


@dataclass(frozen=True, slots=True)
class EngineImage:
    """The container image of an engine; an empty version or variant stands for any."""

    engine: str
    version: str
    variant: str
    image: str

    def serves(self, engine: str, version: str, variant: str) -> bool:
        """Whether it is the image of that engine."""
        return self.engine == engine and self.version in ("", version) and self.variant in ("", variant)

    @property
    def precision(self) -> int:
        """How much it says of what it serves; the most precise image wins."""
        return bool(self.version) + bool(self.variant)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Everything the runner needs to know. `config` is a kubeconfig file; None: the service account of its own pod.

    Model copies lie in the claim `models_claim`, or in the directory `models_directory` of each node. `control_url`
    is where pods fetch models from, with the platform's own `image`; `control_certificate` the PEM text that an
    https control plane must prove to be.
    """

    namespace: str
    scheduler: str = "none"
    config: str | None = None
    images: tuple[EngineImage, ...] = ()
    image: str | None = None
    models_claim: str | None = "aicp-models"
    models_directory: str | None = None
    control_url: str | None = None
    control_certificate: str | None = None
    token_secret: str = "aicp-internal"
    gateway_networks: tuple[str, ...] = ()

    def image_of(self, engine: str, version: str, variant: str) -> str:
        """The image for an engine. Raises InvalidError that says which setting lacks it."""
        found = [item for item in self.images if item.serves(engine, version, variant)]
        if not found:
            raise InvalidError(
                f"There is no container image for the engine {engine} {version} ({variant}).",
                hint=f"Add `{engine}={version}` of a registry to AICP_KUBERNETES_IMAGES: `{engine}=IMAGE`.",
            )
        return max(found, key=lambda item: item.precision).image


def read_options(values: Mapping[str, Any]) -> ClusterOptions:
    """From settings, by their names without `kubernetes_`. Raises InvalidError that names the setting."""
    namespace = str(values.get("namespace") or "aicp")
    if not _NAME.fullmatch(namespace):
        raise _wrong("namespace", namespace, "a name of lower-case letters, digits and `-`, at most 63 of them")
    scheduler = str(values.get("scheduler") or "none")
    if scheduler not in SCHEDULERS:
        raise _wrong("scheduler", scheduler, f"one of {', '.join(SCHEDULERS)}")
    claim, directory = _models(str(values.get("models") or f"{_CLAIM}aicp-models"))
    secret = str(values.get("token_secret") or "aicp-internal")
    if not _NAME.fullmatch(secret):
        raise _wrong("token_secret", secret, "the name of a Secret in the runner's namespace")
    control_url = str(values["control_url"]) if values.get("control_url") else None
    if control_url and not re.match(r"https?://.", control_url):
        raise _wrong("control_url", control_url, "an address such as http://aicp-control.aicp.svc:8600")
    return ClusterOptions(
        namespace=namespace,
        scheduler=scheduler,
        config=str(values["config"]) if values.get("config") else None,
        images=tuple(_image(text) for text in values.get("images") or ()),
        image=values.get("image") or None,
        models_claim=claim,
        models_directory=directory,
        control_url=control_url,
        control_certificate=values.get("control_certificate"),
        token_secret=secret,
        gateway_networks=_networks(values.get("gateway_networks") or ()),
    )


def _models(text: str) -> tuple[str | None, str | None]:
    if text.startswith(_CLAIM) and _NAME.fullmatch(text.removeprefix(_CLAIM)):
        return text.removeprefix(_CLAIM), None
    if text.startswith(f"{_NODE}/") and ".." not in text:
        return None, text.removeprefix(_NODE)
    raise _wrong("models", text, "`claim:NAME` of a PersistentVolumeClaim, or `node:/directory` on every node")


def _image(text: str) -> EngineImage:
    """`engine=image`, `engine:version=image` or `engine:version:variant=image`."""
    key, separator, image = text.partition("=")
    engine, version, variant = (*key.strip().split(":"), "", "")[:3]
    if not separator or not engine or not image.strip() or key.count(":") > 2 or any(part.isspace() for part in image):
        raise _wrong("images", text, "`ENGINE=IMAGE`, `ENGINE:VERSION=IMAGE` or `ENGINE:VERSION:VARIANT=IMAGE`")
    return EngineImage(engine, version, variant, image.strip())


def _networks(texts: Sequence[str]) -> tuple[str, ...]:
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise _wrong("gateway_networks", text, "networks such as 10.1.0.0/16, comma-separated") from None
    return tuple(texts)


def _wrong(name: str, text: str, wanted: str) -> InvalidError:
    return InvalidError(f"AICP_KUBERNETES_{name.upper()} is {text!r}.", hint=f"Write {wanted}.")
