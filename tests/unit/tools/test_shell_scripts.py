"""The shell scripts of the repository run with the bash of any Linux that is in use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[3] / "tools").glob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_an_array_that_may_be_empty_is_expanded_guardedly(script: Path) -> None:
    """Under `set -u`, bash before 4.4 takes an empty array for an unset variable. A script that counts is let be."""
    text = script.read_text()
    for name in set(re.findall(r"\b(\w+)=\(\)", text)):
        bare = text.replace(f'${{{name}[@]+"${{{name}[@]}}"}}', "")
        assert f"${{#{name}[@]}}" in text or f"${{{name}[@]}}" not in bare
