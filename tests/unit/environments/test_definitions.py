"""The locks that ship: everything pinned by checksum, no address of an index, nothing that breaks an engine."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from aicp.environments.base import EnvironmentKey
from aicp.environments.definitions import LOCKS, count_packages, load_definitions, lock_names, packages_digest

DEFINITIONS = load_definitions()
LOCK_FILES = sorted(path.name for path in LOCKS.glob("*.txt"))


@pytest.mark.parametrize("name", LOCK_FILES)
def test_every_package_of_a_lock_has_checksums(name: str) -> None:
    text = (LOCKS / name).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) == count_packages(LOCKS / name)
    for entry in entries:
        assert re.match(r"^[a-z0-9._-]+==\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n?)+$", entry), entry[:80]


@pytest.mark.parametrize("name", LOCK_FILES)
def test_a_lock_names_no_index(name: str) -> None:
    assert "://" not in (LOCKS / name).read_text()


def test_every_definition_finds_its_locks_and_every_lock_has_a_definition() -> None:
    used = {name for definition in DEFINITIONS.values() for name in lock_names(definition)}
    assert used == set(LOCK_FILES)


def test_the_processor_build_of_vllm_takes_nothing_that_breaks_or_bloats_it() -> None:
    text = (LOCKS / "vllm-0.32.0-cpu.txt").read_text()
    names = set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE))
    assert not names & {"torch", "torchvision", "torchaudio", "torchcodec", "triton", "opencv-python-headless"}


def test_torch_is_in_no_lock() -> None:
    for name in LOCK_FILES:
        assert not re.search(r"^torch==", (LOCKS / name).read_text(), re.MULTILINE)


def test_what_was_not_run_says_so() -> None:
    assert DEFINITIONS[EnvironmentKey("vllm", "0.32.0", "cuda")].evidence.startswith("not tested")


def test_every_definition_installs_something_else() -> None:
    assert len({packages_digest(definition) for definition in DEFINITIONS.values()}) == len(DEFINITIONS)


def test_words_about_a_definition_do_not_make_it_another_one() -> None:
    definition = DEFINITIONS[EnvironmentKey("vllm", "0.32.0", "cpu")]
    reworded = replace(definition, title="other words", evidence="more runs", approximate_bytes=1)
    assert packages_digest(reworded) == packages_digest(definition)
