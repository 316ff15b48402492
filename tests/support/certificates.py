"""An authority of one's own, and the certificates that it signs."""

from __future__ import annotations

import subprocess
from pathlib import Path

_CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    """`file` is its certificate (PEM), what a client is to believe."""

    def __init__(self, folder: Path, name: str = "Test authority") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.file = folder / "authority.pem"
        self._key = folder / "authority.key"
        usage = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl("req", "-x509", *_CURVE, "-subj", f"/CN={name}", *usage, "-days", "2",
                 "-keyout", str(self._key), "-out", str(self.file))  # fmt: skip

    def issue(self, names: str, name: str = "server", usage: str = "serverAuth") -> tuple[Path, Path]:
        """A certificate for `names`, as `DNS:localhost,IP:127.0.0.1`, and its key, in files called `name`."""
        certificate, key, request = (self._folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        _openssl("req", *_CURVE, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        extensions = self._folder / f"{name}.cnf"
        extensions.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n")
        signer = ["-CA", str(self.file), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2"]
        _openssl("x509", "-req", "-in", str(request), *signer, "-extfile", str(extensions), "-out", str(certificate))
        return certificate, key


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
