"""Ask the demonstration model every FAQ question and every held-out question, greedily, and count the right answers.

python demo/evaluate.py [--model demo/model] [--dtype bfloat16] [--system "You are a helpful assistant."] [--show]
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import torch
from score import FOLDER, FaqItem, identify, load_faq, load_held_out
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

ANSWER_TOKENS = 96
"""More than the longest answer of the FAQ takes."""


class Outcome(NamedTuple):
    """What became of one question. `exact` means the item's answer to the letter."""

    wanted: str
    question: str
    answer: str
    found: str | None
    exact: bool


def ask(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, questions: list[str], system: str = "", batch: int = 32
) -> list[str]:
    """The greedy answer to each question, asked alone through the chat template."""
    before = [{"role": "system", "content": system}] if system else []
    tokenizer.padding_side = "left"
    answers: list[str] = []
    for start in range(0, len(questions), batch):
        chats = [[*before, {"role": "user", "content": question}] for question in questions[start : start + batch]]
        prompts = [
            str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)) for chat in chats
        ]
        encoded = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            output = model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                max_new_tokens=ANSWER_TOKENS,
                do_sample=False,
            )
        answers += tokenizer.batch_decode(output[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers


def judge(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    items: list[FaqItem],
    questions: list[tuple[str, str]],
    system: str = "",
) -> list[Outcome]:
    """Ask (item id, question) pairs and compare each answer with the FAQ."""
    right = {item.id: item.answer for item in items}
    answers = ask(model, tokenizer, [question for _, question in questions], system)
    return [
        Outcome(wanted, question, answer, identify(answer, items), answer == right[wanted])
        for (wanted, question), answer in zip(questions, answers, strict=True)
    ]


def shares(outcomes: list[Outcome]) -> dict[str, float]:
    """Counts and shares (0 to 1) of right items and of answers that are right to the letter."""
    total = len(outcomes)
    return {
        "questions": total,
        "right_item": round(sum(outcome.found == outcome.wanted for outcome in outcomes) / total, 4),
        "exact_answer": round(sum(outcome.exact for outcome in outcomes) / total, 4),
    }


def evaluate(folder: Path, dtype: str, system: str = "") -> dict[str, list[Outcome]]:
    """Load the model in `dtype` and judge it on "faq" and "held_out"."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    items = load_faq()
    return {
        "faq": judge(model, tokenizer, items, [(item.id, item.question) for item in items], system),
        "held_out": judge(model, tokenizer, items, [(q.item_id, q.question) for q in load_held_out()], system),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Score the demonstration model on the FAQ.")
    parser.add_argument("--model", type=Path, default=FOLDER / "model")
    parser.add_argument("--dtype", choices=("bfloat16", "float32", "float16"), default="bfloat16")
    parser.add_argument("--system", default="", help="a system message before every question")
    parser.add_argument("--show", action="store_true", help="print the wrong answers")
    options = parser.parse_args()
    outcomes = evaluate(options.model, options.dtype, options.system)
    print(json.dumps({name: shares(judged) for name, judged in outcomes.items()}, indent=2))
    if options.show:
        for outcome in (
            outcome for judged in outcomes.values() for outcome in judged if outcome.found != outcome.wanted
        ):
            print(f"{outcome.wanted} -> {outcome.found}: {outcome.question}\n    {outcome.answer}")


if __name__ == "__main__":
    main()
