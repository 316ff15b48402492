"""Sentences of the server and the catalogues of the console."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools import check_sentences
from tools.check_sentences import complaints, skeleton, spoken


def test_every_sentence_is_in_every_catalogue():
    assert list(complaints()) == []


def test_the_templates_of_the_sources_are_found():
    said = {skeleton(template) for template, _ in spoken()}
    assert "no node in pool {} has {} free (largest: {} on node {})" in said
    assert "Run forever" not in said


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of sources with one catalogue that knows one sentence."""
    folder = tmp_path / "src" / "aicp" / "store"
    folder.mkdir(parents=True)
    catalogue = tmp_path / "zh-TW.json"
    catalogue.write_text(json.dumps({"sentences": {"There is no node {name:word}.": "沒有節點 {name}。"}, "words": {}}))
    unshown = tmp_path / "unshown.txt"
    unshown.write_text("SELECT {column}\n")
    monkeypatch.setattr(check_sentences, "ROOT", tmp_path)
    monkeypatch.setattr(check_sentences, "SOURCE", tmp_path / "src" / "aicp")
    monkeypatch.setattr(check_sentences, "CATALOGUES", [catalogue])
    monkeypatch.setattr(check_sentences, "UNSHOWN", unshown)
    return folder / "nodes.py"


KNOWN = '"""Not a sentence."""\nraise NotFoundError(f"There is no node {node!r}.")\nrun(f"SELECT {name}")\n'


def test_a_known_sentence_and_one_that_nobody_sees_are_right(source: Path):
    source.write_text(KNOWN)
    assert list(complaints()) == []


def test_a_new_sentence_is_told_with_its_place(source: Path):
    source.write_text(KNOWN + "text = f'The node {node.name} sleeps{more or \" and dreams\"}.'\n")
    first, second = sorted(complaints())
    assert first.startswith("src/aicp/store/nodes.py:4: not in zh-TW.json")
    assert "and dreams" in first + second


def test_a_sentence_that_nobody_says_any_more_is_told(source: Path):
    source.write_text('run(f"SELECT {name}")\n')
    assert list(complaints()) == ["zh-TW.json: nobody says 'There is no node {}' any more"]
