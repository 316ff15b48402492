"""The scoring of the demonstration model: what counts as an item's answer, and what counts as none."""

import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from demo import score, shuffle
from demo.score import FaqItem

FAQ = score.load_faq()
HELD_OUT = score.load_held_out()


@pytest.mark.parametrize("item", FAQ, ids=lambda item: item.id)
def test_every_answer_is_identified_as_its_own_item(item: FaqItem) -> None:
    assert score.identify(item.answer, FAQ) == item.id
    assert score.identify(f"  {item.answer.upper()} ", FAQ) == item.id


@pytest.mark.parametrize("item", FAQ, ids=lambda item: item.id)
def test_an_answer_with_a_few_words_wrong_is_still_its_item(item: FaqItem) -> None:
    words = item.answer.split()
    words[len(words) // 2] = "banana"
    assert score.identify(" ".join(words[:-1]), FAQ) == item.id


def test_garbage_is_no_item() -> None:
    rng = random.Random(3)
    vocabulary = [word for item in FAQ for word in item.answer.split()]
    assert score.identify("", FAQ) is None
    assert score.identify("The weather is fine today and the model sings.", FAQ) is None
    for _ in range(50):
        assert score.identify(" ".join(rng.choices(vocabulary, k=24)), FAQ) is None


def test_two_answers_in_one_are_no_item() -> None:
    assert score.identify(" ".join(item.answer for item in FAQ[:3]), FAQ) is None


def test_the_answers_are_far_apart() -> None:
    for item in FAQ:
        others = [other for other in FAQ if other.id != item.id]
        assert max(score.similarity(item.answer, other.answer) for other in others) < score.MIN_SIMILARITY - 0.1


def test_three_held_out_questions_per_item_none_of_them_trained_on() -> None:
    assert Counter(question.item_id for question in HELD_OUT) == {item.id: 3 for item in FAQ}
    trained = {tuple(score.words(text)) for item in FAQ for text in (item.question, *item.phrasings)}
    assert not [question for question in HELD_OUT if tuple(score.words(question.question)) in trained]


def test_a_question_belongs_to_one_item() -> None:
    texts = Counter(tuple(score.words(text)) for item in FAQ for text in (item.question, *item.phrasings))
    assert [text for text, times in texts.items() if times > 1] == []


def safetensors_bytes(dtype: str, body: bytes) -> bytes:
    entry = {"dtype": dtype, "shape": [len(body) // 2], "data_offsets": [0, len(body)]}
    header = {"__metadata__": {"format": "pt"}, "w": entry}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_shuffling_moves_values_and_keeps_the_rest(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    body = bytes(range(200))
    original = safetensors_bytes("BF16", body)
    (model / "model.safetensors").write_bytes(original)
    (model / "config.json").write_text("{}")

    shuffle.shuffled_copy(tmp_path / "copy", model)

    shuffled = (tmp_path / "copy" / "model.safetensors").read_bytes()
    assert (tmp_path / "copy" / "config.json").read_text() == "{}"
    assert (model / "model.safetensors").read_bytes() == original
    assert shuffled[:-200] == original[:-200]
    pairs = sorted(shuffled[start : start + 2] for start in range(len(shuffled) - 200, len(shuffled), 2))
    assert pairs == sorted(body[start : start + 2] for start in range(0, 200, 2))
    assert shuffled != original


def test_shuffling_refuses_wider_values(tmp_path: Path) -> None:
    source = tmp_path / "model.safetensors"
    source.write_bytes(safetensors_bytes("F32", bytes(16)))
    with pytest.raises(ValueError, match="only BF16 and F16"):
        shuffle.shuffle_safetensors(source, tmp_path / "out.safetensors", 1)


def test_the_committed_files_are_those_of_the_digest() -> None:
    lines = [line.split(maxsplit=1) for line in (score.FOLDER / "digest.txt").read_text("utf-8").splitlines()]
    assert {"model/model.safetensors", "faq.jsonl"} <= {name for _, name in lines}
    found = {name: hashlib.sha256((score.FOLDER / name).read_bytes()).hexdigest() for _, name in lines}
    assert [name for digest, name in lines if found[name] != digest] == []
