"""A stand-in for an engine in tests of the agent: answers /health, writes what it sees, ends when told to.

`python tiny_engine.py unix PATH | tcp PORT [--die CODE] [--eat BYTES] [--child] [--worker] [--deaf] [--title]
[--token TOKEN] [--report PATH] ...`
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socketserver
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path


class _Health(BaseHTTPRequestHandler):
    ill_file: str | None = None
    token: str | None = None

    def do_GET(self) -> None:
        ill = self.ill_file is not None and Path(self.ill_file).exists()
        known = self.token is None or self.headers["Authorization"] == f"Bearer {self.token}"
        guarded = self.path.startswith("/v1")
        self.send_response(500 if ill else 401 if guarded and not known else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        sys.stdout.write(f"{format % args} {os.getpid()}\n")
        sys.stdout.flush()

    def address_string(self) -> str:
        return "local"


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    def get_request(self):
        request, _ = super().get_request()
        return request, ("local", 0)


def report(path: str) -> None:
    """What this process is and may do."""
    facts = {
        "pid": os.getpid(),
        "user": os.getuid(),
        "groups": os.getgroups(),
        "session": os.getsid(0),
        "env": dict(os.environ),
        "argv": sys.argv,
        "readable": {name: _listing(name) for name in os.environ.get("PROBE_READ", "").split(":") if name},
        "writable": {name: _writable(name) for name in os.environ.get("PROBE_WRITE", "").split(":") if name},
    }
    Path(path).write_text(json.dumps(facts))


def _listing(name: str) -> list[str] | str:
    try:
        path = Path(name)
        return sorted(os.listdir(path)) if path.is_dir() else path.read_text()
    except OSError as error:
        return f"error: {error.strerror}"


def _writable(name: str) -> bool:
    try:
        (Path(name) / "probe").write_text("x")
    except OSError:
        return False
    return True


def forget_environment() -> None:
    """Writes over the own environment, as programs do that set their title."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[47]), int(fields[48])
    ctypes.memset(begin, 0, end - begin)


def main() -> None:
    kind, where, *options = sys.argv[1:]
    given = dict(zip(options[::2], options[1::2], strict=False))
    if "--report" in given:
        report(given["--report"])
    if given.get("--child"):
        # a grandchild in a session of its own: only its mark or its cgroup gives it away
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    if given.get("--worker"):
        # one of the engine's own session without a mark: it is known by its session alone
        worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={})
        sys.stdout.write(f"worker {worker.pid}\n")
        sys.stdout.flush()
    if given.get("--deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "--eat" in given:
        sys.stdout.write(f"{len(b'x' * int(given['--eat']))}\n")
    if "--die" in given:
        time.sleep(float(given.get("--after", "0")))
        sys.stdout.write("something\nRuntimeError: the tiny engine has had enough\n")
        sys.stdout.flush()
        os._exit(int(given["--die"]))
    _Health.token = given.get("--token")
    if given.get("--title"):
        forget_environment()
    _Health.ill_file = given.get("--ill-file")
    if kind == "unix":
        _UnixServer(where, _Health).serve_forever()
    else:
        socketserver.ThreadingTCPServer(("127.0.0.1", int(where)), _Health).serve_forever()


if __name__ == "__main__":
    main()
