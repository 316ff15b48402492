"""What a process does not load cannot slow it, grow it or break it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

DATABASE = {"sqlalchemy", "alembic", "aiosqlite", "asyncpg"}
FRAMEWORKS = {"fastapi", "starlette", "uvicorn"}
CLIENTS = {"httpx", "boto3", "botocore", "huggingface_hub", "modelscope", "pynvml"}


@pytest.mark.parametrize(
    ("process", "unwanted"),
    [
        ("up", DATABASE | FRAMEWORKS | CLIENTS | {"pydantic", "http"}),
        ("gateway", DATABASE | FRAMEWORKS | CLIENTS),
        ("agent", DATABASE | {"boto3", "botocore", "huggingface_hub", "modelscope", "torch"}),
        ("control", {"boto3", "botocore", "huggingface_hub", "modelscope", "torch", "asyncpg", "pynvml"}),
    ],
)
def test_modules(process: str, unwanted: set[str]) -> None:
    code = f"import json, sys; import aicp.main.{process}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & unwanted
