"""A strict reader of Prometheus' text format: what is not as the format's definition says is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LINE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (-?[0-9.e+-]+|[+-]Inf|NaN)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)')
_ESCAPE = re.compile(r"\\([\\n\"])")


@dataclass
class Metric:
    """One family: its samples by name and labels."""

    name: str
    help: str
    kind: str = ""
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)

    def value(self, suffix: str = "", **labels: str) -> float:
        """One sample."""
        return self.samples[self.name + suffix, frozenset(labels.items())]


def read_metrics(body: bytes) -> dict[str, Metric]:
    """All families by name. Raises AssertionError for what is no exposition."""
    text = body.decode()
    assert text.endswith("\n")
    found: dict[str, Metric] = {}
    current: Metric | None = None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, _, help = line.removeprefix("# HELP ").partition(" ")
            assert name not in found, f"{name} comes twice"
            current = found[name] = Metric(name, help)
        elif line.startswith("# TYPE "):
            name, _, kind = line.removeprefix("# TYPE ").partition(" ")
            assert current is not None
            assert (current.name, current.samples) == (name, {})
            assert kind in ("counter", "gauge", "histogram")
            current.kind = kind
        else:
            assert current is not None
            _take(current, line)
    for metric in found.values():
        _check(metric)
    return found


def _take(metric: Metric, line: str) -> None:
    match = _LINE.fullmatch(line)
    assert match is not None, f"no sample: {line!r}"
    suffix = match[1].removeprefix(metric.name)
    assert match[1].startswith(metric.name), f"{match[1]} is outside its family"
    assert suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
    labels = _labels(match[2] or "")
    assert (match[1], labels) not in metric.samples, f"{line!r} comes twice"
    metric.samples[match[1], labels] = float(match[3].replace("Inf", "inf"))


def _labels(text: str) -> frozenset[tuple[str, str]]:
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _LABEL.match(text, at)
        assert match is not None, f"no label: {text[at:]!r}"
        assert match[1] not in labels
        labels[match[1]] = _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], match[2])
        at = match.end()
    assert not text.endswith(",")
    return frozenset(labels.items())


def _check(metric: Metric) -> None:
    assert metric.kind
    assert metric.help
    if metric.kind == "counter":
        assert metric.name.endswith("_total")
        assert all(value >= 0 for value in metric.samples.values())
    rows: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = {}
    for (name, labels), value in metric.samples.items() if metric.kind == "histogram" else ():
        if name.endswith("_bucket"):
            bound = dict(labels)["le"]
            rest = frozenset(label for label in labels if label[0] != "le")
            rows.setdefault(rest, []).append((float(bound.replace("Inf", "inf")), value))
    for labels, row in rows.items():
        assert [bound for bound, _ in row] == sorted({bound for bound, _ in row}), "bounds rise"
        assert [count for _, count in row] == sorted(count for _, count in row), "counts add up"
        assert row[-1] == (float("inf"), metric.samples[f"{metric.name}_count", labels])
