"""How an NVIDIA device can be cut."""

from __future__ import annotations

import re

from aicp.core.accelerator import Accelerator
from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SlicePolicy, SliceProfile, Slicing

# MIG profiles by a word of the product's name and its memory, which the last profile has whole; after the tables of
# NVIDIA's MIG user guide (supported MIG profiles). Products whose profiles that guide does not list are not cut so.
_PROFILES: list[tuple[str, tuple[str, ...]]] = [
    ("A30", ("1g.6gb", "2g.12gb", "4g.24gb")),
    ("A100", ("1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb")),
    ("A100", ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")),
    ("H100", ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")),
    ("H100", ("1g.12gb", "1g.24gb", "2g.24gb", "3g.47gb", "4g.47gb", "7g.94gb")),
    ("GH200", ("1g.12gb", "1g.24gb", "2g.24gb", "3g.48gb", "4g.48gb", "7g.96gb")),
    ("H20", ("1g.12gb", "1g.24gb", "2g.24gb", "3g.48gb", "4g.48gb", "7g.96gb")),
    ("H200", ("1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb")),
    ("B200", ("1g.23gb", "1g.45gb", "2g.45gb", "3g.90gb", "4g.90gb", "7g.180gb")),
    ("RTX PRO 6000", ("1g.24gb", "2g.48gb", "4g.96gb")),
]
_LIKE = 0.06  # how far the memory may lie from the name's: part of it is never shown
_USABLE = 0.9  # of its eighths a profile keeps some for itself; the driver shows the exact size once it is made
_MPS_CLIENTS = 48  # of one device, after the MPS documentation


def ways(device: Accelerator) -> list[Slicing]:
    """MIG alone where it is switched on: such a device runs nothing outside of an instance. Else shares first.

    Shares hold what is asked to a hundredth; MIG needs an idle device to be switched on, and keeps faults apart.
    """
    profiles = mig_profiles(device.product, device.memory_bytes)
    mig = [Slicing(mechanism="mig", profiles=profiles, at_most=_most(profiles), isolated=True)] if profiles else []
    if device.facts.get("mig_mode") == "enabled":
        return mig
    shares = [
        Slicing(mechanism="mps", at_most=_MPS_CLIENTS, note="a fault of one slice ends every slice of the device"),
        Slicing(
            mechanism="interposer",
            policies=[SlicePolicy.CAP, SlicePolicy.WEIGHT],
            resizable=True,
            oversubscribable=True,
        ),
    ]
    return [*shares, *mig]


def mig_profiles(product: str, memory_bytes: int) -> list[SliceProfile]:
    """The shapes that MIG can cut this product into; empty where none are known."""
    for word, names in _PROFILES:
        whole = _gigabytes(names[-1])
        if re.search(rf"\b{word}\b", product) and abs(memory_bytes / GIB - whole) <= whole * _LIKE:
            return [_profile(name, names[-1], memory_bytes) for name in names]
    return []


def _profile(name: str, whole: str, memory_bytes: int) -> SliceProfile:
    eighths = round(_gigabytes(name) / _gigabytes(whole) * 8)
    memory = int(memory_bytes * eighths / 8 * _USABLE) // (256 * MIB) * (256 * MIB)
    return SliceProfile(name=name, compute_percent=_parts(name) * 100 // _parts(whole), memory_bytes=memory)


def _most(profiles: list[SliceProfile]) -> int:
    return _parts(profiles[-1].name)


def _parts(name: str) -> int:
    return int(name.partition("g.")[0])


def _gigabytes(name: str) -> int:
    return int(name.partition("g.")[2].removesuffix("gb"))
