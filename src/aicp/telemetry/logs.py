"""Logs of all processes: one line an event, as text for people or JSON for collectors, never a secret."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

LogFormat = Literal["text", "json"]
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# These tell of every request or query at INFO; our own lines say it once.
_QUIET = ("httpx", "httpcore", "uvicorn.access", "asyncio", "aiosqlite", "sqlalchemy.engine", "botocore", "urllib3")


def configure_logs(
    process: str,
    *,
    level: str = "info",
    format: LogFormat = "text",
    redact: Callable[[str], str] = str,
    stream: TextIO | None = None,
) -> None:
    """Sends all logs of this process to `stream` (standard error); the supervisor keeps and rotates them.

    `redact` masks secrets in finished lines, tracebacks included (give `aicp.security.redaction.redact`).
    """
    formatter = _JsonLines(process, redact) if format == "json" else _TextLines(process, redact)
    output = logging.StreamHandler(stream or sys.stderr)
    output.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(output)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # uvicorn brings its own; let its lines take the same way as all others.
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _TextLines(logging.Formatter):
    """`2026-01-05T12:00:00.000Z INFO control aicp.access: GET / -> 200 in 1.0 ms request_id=req_1`."""

    def __init__(self, process: str, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._process = process
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        # A line break inside a message could pass for a line of its own.
        message = record.getMessage().replace("\n", "\\n").replace("\r", "\\r")
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items())
        line = f"{_at(record)} {record.levelname} {self._process} {record.name}: {message}{extras}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return self._redact(line)


class _JsonLines(logging.Formatter):
    """One JSON object a line: at, level, process, logger, message, and what the call passed as `extra`."""

    def __init__(self, process: str, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._process = process
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        for name, value in _extras(record).items():
            entry[name] = value if isinstance(value, int | float | bool) else self._redact(str(value))
        if record.exc_info:
            entry["traceback"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)
