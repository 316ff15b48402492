"""What every benchmark writes: figures with their spread, versions, machine and date."""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_DRAWS = 500
RESULTS = Path(__file__).parent / "results"


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, most and the single values, rounded to four digits."""
    rounded = [round(value, 4) for value in values]
    return {"median": round(statistics.median(values), 4), "min": min(rounded), "max": max(rounded), "runs": rounded}


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` between 0 and 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles, rounded to four digits."""
    first, middle, third = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": round(middle, 4), "q1": round(first, 4), "q3": round(third, 4)}


def interval(rounds: Sequence[Any], figure: Callable[[Sequence[Any]], float]) -> list[float]:
    """Between which two values `figure` lies in 95 of 100 cases when whole rounds are drawn again by chance."""
    chance = random.Random(1)
    drawn = sorted(figure(chance.choices(rounds, k=len(rounds))) for _ in range(_DRAWS))
    return [round(drawn[int(share * (_DRAWS - 1))], 4) for share in (0.025, 0.975)]


def machine() -> dict[str, Any]:
    """Where it ran; the load average tells how quiet it was."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 1024**3, 1),
        "load_average": os.getloadavg(),
        "kernel": platform.release(),
    }


def write(name: str, figures: dict[str, Any], versions: Sequence[str] = ()) -> Path:
    """Writes benchmarks/results/<name>.json, each of `figures` under its own name, and prints them."""
    result = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {"python": platform.python_version(), "aicp": version("aicp"), **{n: version(n) for n in versions}},
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
    return path
