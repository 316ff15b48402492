"""Writes docs/reference/accelerators.md from the drivers; `--check` only says whether it is up to date."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from aicp.accelerators.base import AcceleratorDriver, Sliceable, Topological
from aicp.core.accelerator import Accelerator
from aicp.core.launch import DeviceShare
from aicp.core.quantity import GIB
from aicp.core.registry import Registry
from aicp.core.slice import MEMORY_UNIT_BYTES, Slicing

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "reference" / "accelerators.md"
FIXTURES = ROOT / "tests" / "fixtures"
PRODUCTS = {"nvidia": "NVIDIA H200", "ascend": "910B3"}
MEMORY = {"nvidia": 140 * GIB, "ascend": 64 * GIB}
UNITS = {"amd": 304, "hygon": 60}
"""What decides how a device can be cut, of one product a vendor: an example, named on the page where it matters."""

BEFORE = """# Accelerators

<!-- Written by tools/write_accelerators.py from the drivers. Do not edit. -->

"""

AFTER = """
*Recorded* means that real devices of that vendor answered and their answers are kept as fixtures; *constructed from
documentation* means that the fixtures in `tests/fixtures/` were written after the vendor's documents and no real
device was asked, so that vendor does not count as tested; *this machine* means that every test run asks the hardware it
runs on; *simulated* means that there is no device at all.

What a driver reports of a device: product, memory, driver version, health, features, its nearest memory node and its
links to other devices, and now: memory in use, utilization, temperature, power, processes. What a device does not say
is left out, never guessed. A vendor's library is looked for only when a device with the vendor's number is on the PCI
bus.

## How devices are cut

A slice is asked in hundredths of compute and pieces of 256 MiB. What the card can do is below, the best way first; a
node offers the ways whose enforcer works there, and says why when none does. *cap*: never more than the share;
*weight*: the share is guaranteed and idle compute may be borrowed.

"""

HEALTH = """
## Health

Every finding has a code that is the same for all vendors, a severity, a cause in the driver's words, and what to do
next. A failed device gets no work; a degraded one works and should be looked after. A device that was there and is
gone, or whose library stops answering, is kept and called failed until it answers or the agent starts anew.

| code | meaning | next |
|---|---|---|
"""

SIGNS = """
Where the signs come from:

- **NVIDIA**: failed when rows can no longer be remapped, on XID 48, 62, 64, 74, 79, 95, 119 or 120, when the device
  has fallen off the bus or its driver stops answering; degraded when a remap or page retirement is pending, on XID 63,
  92 or 94, after uncorrected memory errors since the driver was loaded, and while heat or the power supply slows it
  down. XIDs are seen from the agent's start on; those that a program causes (13, 31, 43, 45, ...) are not counted
  against the device.
- **Ascend**: the device's alarm level; its counters of memory errors, which do not tell corrected ones apart.
- **Iluvatar**: the bits of its health word: hub, memory controller, memory, PCIe.
- **Cambricon**: the card's health and the state of its driver.
- **MetaX**: uncorrected memory errors, and the reason why a device is not available.
- **Hygon, Moore Threads, AMD**: uncorrected memory errors.

## Which devices a process sees

| driver | with device 1 | with none |
|---|---|---|
"""

END = """
A device is shown by its own number where the runtime takes one, else by its index. Every other vendor's devices are
hidden first, because several vendors answer to the same variable.

The vendors other than NVIDIA are read through the detectors of gpustack-runtime. `tools/install.sh` installs them from
`requirements/detectors.txt`, without the packages for containers that gpustack-runtime asks for; without it these
vendors' devices are not found, and the agent's log says so.

## Simulated accelerators

`AICP_SIMULATED_ACCELERATORS=H20-96G:8,910B3:4` (or the setting `simulated_accelerators`) makes this machine report
eight and four cards that it does not have, of any kind in the catalogue: to try placement, slices and the pool's pages,
in tests and in demonstrations. Without the setting there are none. What is made up says so everywhere: the vendor is
`simulated` (the maker stands in `facts`, so nothing that looks for a maker's devices finds one), REST has
`simulated: true` and, at pools, `accelerators_simulated`; `aicp node show` has a column; the console a tag; product and
id carry the word. Measurements are those of an idle device, and are kept in no history.

No engine that computes is placed on one: a plan never chooses them by itself, refuses every real engine on
`--vendor simulated` with the reason, and an agent starts none there. The engine `echo`, which only repeats words, can
be placed there by naming both (`--engine echo --vendor simulated`), which shows the whole life of a service without a
device. They are cut in the shapes of the real card, with the mechanism `none`: nothing is enforced, and each way says
by what a real one would be cut.

## The catalogue

`aicp accelerator catalog` lists kinds of accelerators with memory, bandwidth, dense rates, links, power and the ways to
cut them; `aicp accelerator show NAME` names the source of every figure. Only figures with a named, identifiable source
are in it; what was derived says how, what no such source gives is left out, and where sources differ the note says by
how much. It is one file, `src/aicp/core/accelerator_catalog.yaml`; a figure without a source or derivation fails the
tests. [Plan a pool](../guides/plan-a-pool.md) uses it.

Another vendor is one file: see [Add an accelerator](../guides/add-an-accelerator.md).
"""


def example(name: str) -> Accelerator:
    """A device of the vendor, as far as slicing looks at it."""
    facts = {"compute_units": UNITS[name]} if name in UNITS else {}
    memory = MEMORY.get(name, 64 * GIB)
    product = PRODUCTS.get(name, "example")
    return Accelerator(vendor=name, index=0, device_id="0", product=product, memory_bytes=memory, facts=facts)


def through(driver: AcceleratorDriver) -> str:
    """What the first line of the driver's module says."""
    module = importlib.import_module(type(driver).__module__)
    return (module.__doc__ or "").splitlines()[0].rstrip(".")


def fixtures(name: str) -> str:
    """Each fixture of the driver with the driver version that it speaks of."""
    found = [(path.stem, json.loads(path.read_text())["driver_version"]) for path in sorted(FIXTURES.glob(f"{name}-*"))]
    return ", ".join(f"`{stem}` ({version})" for stem, version in found)


def units(way: Slicing) -> str:
    """What a slice is made of."""
    if way.profiles:
        return "shapes: " + ", ".join(f"`{shape.name}`" for shape in way.profiles)
    memory = f"{way.memory_unit_bytes // MEMORY_UNIT_BYTES * 256} MiB"
    return f"{round(way.compute_unit_percent, 2):g} % of compute, {memory}"


def slicing_rows(name: str, driver: AcceleratorDriver) -> list[str]:
    """One row a way of cutting."""
    if not isinstance(driver, Sliceable):
        return []
    product = f" ({PRODUCTS[name]})" if name in PRODUCTS else ""
    return [
        f"| {driver.title}{product} | `{way.mechanism}` | {units(way)} | {', '.join(way.policies)} | "
        f"{way.at_most or ''} | {'yes' if way.isolated else ''} | {way.note} |"
        for way in driver.slicing(example(name))
    ]


def shown(driver: AcceleratorDriver, name: str) -> str:
    """The row of the variables."""

    def words(devices: list[DeviceShare]) -> str:
        return ", ".join(f"`{key}={value}`" for key, value in driver.environment(devices).items()) or "nothing"

    return f"| `{name}` | {words([DeviceShare(vendor=name, device_id='ID', index=1)])} | {words([])} |"


def render() -> str:
    """The page."""
    registry = Registry[AcceleratorDriver]("aicp.accelerators")
    drivers = {name: registry.get(name) for name in registry.names()}
    health = importlib.import_module("aicp.accelerators._health")
    codes = importlib.import_module("aicp.core.accelerator").HealthCode
    lines = [
        "| vendor | driver | tested against | fixtures (driver version) | links | through |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {driver.title} | `{name}` | {driver.evidence} | {fixtures(name)} | "
        f"{'yes' if isinstance(driver, Topological) else ''} | {through(driver)} |"
        for name, driver in drivers.items()
    ]
    ways = [
        "| vendor | mechanism | units | policies | at most | faults kept apart | note |",
        "|---|---|---|---|---|---|---|",
    ]
    ways += [row for name, driver in drivers.items() for row in slicing_rows(name, driver)]
    findings = [f"| `{code}` | {_meaning(codes, code)} | {health.NEXT[code]} |" for code in codes]
    variables = [shown(driver, name) for name, driver in drivers.items()]
    return (
        BEFORE
        + "\n".join(lines)
        + "\n"
        + AFTER
        + "\n".join(ways)
        + "\n"
        + HEALTH
        + "\n".join(findings)
        + "\n"
        + (SIGNS + "\n".join(variables) + "\n" + END)
    )


def _meaning(codes: type, code: object) -> str:
    return {
        codes.MEMORY_UNCORRECTABLE: "memory gave wrong data that could not be corrected, or can no longer be repaired",
        codes.MEMORY_WEAR: "memory errors were corrected or bad parts set aside, or their kind is not told",
        codes.MEMORY_REPAIR_PENDING: "bad memory is set aside at the next reset or restart",
        codes.DEVICE_LOST: "the device does not answer on its bus",
        codes.INTERNAL: "the device's own controller or firmware failed",
        codes.LINK: "a link to other devices or to the host is faulty",
        codes.OVERHEATING: "the device slows itself down because it is too hot",
        codes.POWER: "the device slows itself down because its power supply asks for it",
        codes.DRIVER: "the driver does not work, or does not fit its library or the device",
        codes.UNKNOWN: "a fault without a name, or no answer",
    }[code]


def main() -> int:
    """Answers 1 when `--check` finds the page out of date."""
    text = render()
    if "--check" in sys.argv[1:]:
        fresh = FILE.is_file() and FILE.read_text() == text
        print(
            "accelerators.md is up to date"
            if fresh
            else "accelerators.md is out of date: run tools/write_accelerators.py"
        )
        return 0 if fresh else 1
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
