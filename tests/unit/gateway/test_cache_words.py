"""The gate of words: what means the same passes, and nothing that might mean something else does."""

from __future__ import annotations

import pytest

from aicp.gateway.cache_words import facts, gist, gist_digest

ALIKE = [
    ("What is the capital of France?", "what's the capital of france"),
    ("Could you please explain photosynthesis?", "Explain photosynthesis"),
    ("How do I reset my password?", "how do i reset my password"),
    ("Hello, list the planets. Thanks!", "List planets"),
    ("Don't delete it", "Do not delete it."),
    ("I’m late, what now?", "I'm late: what now"),
    ("请问法国的首都是什么？", "法国首都是什么"),
    ("請問台灣最高的山是哪一座呢？", "台灣最高的山是哪一座"),
    ("谢谢，请解释一下光合作用", "解释一下光合作用。"),
]
APART = [
    ("How do I enable 2FA?", "How do I disable 2FA?"),
    ("Is it safe to take it with milk?", "Is it not safe to take it with milk?"),
    ("How can I delete it?", "How can't I delete it?"),
    ("What is 5 + 3?", "What is 5 - 3?"),
    ("What is 5?", "What is 5!"),
    ("What is (2+3)*4?", "What is 2+3*4?"),
    ("What is 1,23?", "What is 12,3?"),
    ("Convert 10 kg", "Convert 100 kg"),
    ("Convert 3.5 kg", "Convert 35 kg"),
    ("What happened in 1989?", "What happened in 1998?"),
    ("Flights from Paris to Rome", "Flights from Rome to Paris"),
    ("Does Python beat Java?", "Does Java beat Python?"),
    ("Who is the president?", "Who was the president?"),
    ("Who are you?", "Who am I?"),
    ("What is your name?", "What is my name?"),
    ("When was it built?", "Where was it built?"),
    ("All of them are wrong", "Some of them are wrong"),
    ("Ship with insurance", "Ship without insurance"),
    ("Must I pay?", "Should I pay?"),
    ("Explain C++", "Explain C#"),
    ("Explain C", "Explain C++"),
    ("Tell me of WHO rules", "Tell me of who rules"),
    ("Solve x²", "Solve x2"),
    ("怎么启用两步验证", "怎么停用两步验证"),
    ("我可以退款吗", "我不可以退款吗"),
    ("他是医生", "他是医生吗"),
    ("张三欠李四多少钱", "李四欠张三多少钱"),
    ("三月有几天", "二月有几天"),
    ("有發票可以退貨嗎", "沒有發票可以退貨嗎"),
    ("價格是10元", "價格是100元"),
    ("打开灯", "打开灯了吗"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_differs_in_form_alone_passes(one: str, other: str) -> None:
    assert gist_digest(one) == gist_digest(other) != b""


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_may_mean_something_else_does_not_pass(one: str, other: str) -> None:
    assert gist_digest(one) != gist_digest(other), gist(one)


@pytest.mark.parametrize("text", ["", "  ", "?!", "please", "…"])
def test_a_text_without_words_has_no_gist(text: str) -> None:
    assert gist_digest(text) == b""


def test_odd_texts_are_no_error() -> None:
    assert gist_digest("\ud800 lone surrogate") != gist_digest("lone surrogate")
    assert gist("नमस्ते") != gist("नमसत")


def test_facts_of_answers() -> None:
    assert facts("It takes 3 days, not 5.") == facts("3 days are needed; 5 is not right")
    assert facts("It takes 3 days.") != facts("It takes 4 days.")
    assert facts("You can't") != facts("You can")
    assert facts("不可以退款") != facts("可以退款")
