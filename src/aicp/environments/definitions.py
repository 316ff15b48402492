"""The environments that can be built, read from `locks/*.toml`."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aicp.environments.base import Definition, EnvironmentKey, NativeBuild, RepairFile, TorchPin

LOCKS = Path(__file__).parent / "locks"
_PACKAGES = Path(__file__).parents[2]
_OWN_PLACES = (_PACKAGES, _PACKAGES.parent / "lightengine" / "src")
"""Where our own distributions lie: beside this package once it is installed, in their folders in the repository."""
_PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*==", re.MULTILINE)


def load_definitions(directory: Path = LOCKS) -> dict[EnvironmentKey, Definition]:
    """Every definition in `directory`. Raises KeyError or TOMLDecodeError on a malformed one: they ship with us."""
    found = (_parse(tomllib.loads(path.read_text("utf-8")), directory) for path in sorted(directory.glob("*.toml")))
    return {definition.key: definition for definition in found}


def packages_digest(definition: Definition) -> str:
    """SHA-256 over the locks and what is built beside them; changes whenever other packages would come out."""
    torch = definition.torch.version if definition.torch else None
    digest = hashlib.sha256(repr((definition.key, torch, definition.native)).encode())
    for name in lock_names(definition):
        digest.update((definition.locks / name).read_bytes())
    return digest.hexdigest()


def repairs_digest(definition: Definition) -> str:
    """SHA-256 over the files that are written into the finished packages."""
    return hashlib.sha256(repr([(repair.path, repair.text) for repair in definition.repairs]).encode()).hexdigest()


def lock_names(definition: Definition) -> list[str]:
    """File names of all locks that a build reads."""
    names = [definition.lock] if definition.lock else []
    if definition.native:
        names += [definition.native.source_lock, definition.native.tools_lock]
    return names


def count_packages(lock: Path) -> int:
    """How many packages a lock pins."""
    return len(_PIN.findall(lock.read_text("utf-8")))


def _parse(data: dict[str, Any], locks: Path) -> Definition:
    torch = data.get("torch")
    native = data.get("native")
    repairs = tuple(RepairFile(r["path"], r["text"], r["reason"]) for r in data.get("repairs", []))
    return Definition(
        key=EnvironmentKey(data["engine"], data["version"], data["variant"]),
        title=data["title"],
        evidence=data["evidence"],
        pythons=tuple(data["pythons"]),
        machines=tuple(data["machines"]),
        approximate_bytes=data["approximate_bytes"],
        probe=data["probe"],
        lock=data.get("lock"),
        torch=TorchPin(torch["version"], tuple(torch["digests"])) if torch else None,
        native=_parse_native(native) if native else None,
        repairs=(*repairs, *_own_files(data["own"])) if "own" in data else repairs,
        locks=locks,
    )


def _own_files(package: str) -> Iterator[RepairFile]:
    """The modules of one of our own distributions, which change with the platform and so are no part of a lock.

    Raises RuntimeError when it was not shipped.
    """
    place = next((place for place in _OWN_PLACES if (place / package / "__init__.py").is_file()), None)
    if place is None:
        raise RuntimeError(f"the package {package} is not shipped with this platform")
    for path in sorted((place / package).rglob("*.py")):
        yield RepairFile(path.relative_to(place).as_posix(), path.read_text("utf-8"), "the engine's own program")


def _parse_native(data: dict[str, Any]) -> NativeBuild:
    return NativeBuild(
        package=data["package"],
        source_lock=data["source_lock"],
        tools_lock=data["tools_lock"],
        directory=data["directory"],
        program=data["program"],
        options=tuple(data["options"]),
    )
