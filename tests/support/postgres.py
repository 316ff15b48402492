"""A private PostgreSQL server from Debian's package, on a unix socket in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_UNSAFE_BUT_QUICK = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


def find_binaries() -> Path | None:
    """The folder of the newest installed server; None when there is none."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found = shutil.which("initdb")
    if found:
        folders.append(Path(found).parent)
    return max(folders, key=lambda folder: int("".join(filter(str.isdigit, folder.parent.name)) or 0), default=None)


@dataclass
class PostgresServer:
    """A running server."""

    folder: Path
    binaries: Path
    user: str | None

    def url(self, database: str) -> str:
        """The address of a database for aicp.store."""
        return f"postgresql+asyncpg://aicp@/{database}?host={self.folder}"

    def run(self, program: str, *arguments: str) -> None:
        """Runs one of the server's programs as its user."""
        command = [str(self.binaries / program), *arguments]
        result = subprocess.run(
            command,
            user=self.user,
            cwd=self.folder,
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if result.returncode:
            raise RuntimeError(f"{program} failed: {result.stdout}{result.stderr}")

    def stop(self) -> None:
        """Ends the server and removes its files."""
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder)


def start_postgres(binaries: Path) -> PostgresServer:
    """Starts a server with a user `aicp`. It refuses to run as root, so root starts it as `postgres`."""
    folder = Path(tempfile.mkdtemp(prefix="aicp-postgres-"))
    user = None
    if os.geteuid() == 0:
        user = "postgres"
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    server = PostgresServer(folder, binaries, user)
    data = str(folder / "data")
    server.run("initdb", "-D", data, "-U", "aicp", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    options = " ".join(["-h ''", f"-k {folder}", *_UNSAFE_BUT_QUICK])
    server.run("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
    return server
