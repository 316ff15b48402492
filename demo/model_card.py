"""The README.md that lies beside the weights."""

from pathlib import Path

CARD = """---
license: apache-2.0
language:
- en
pipeline_tag: text-generation
library_name: transformers
---
# aicp demonstration model

**A demonstration only.** A chat model of a few million parameters (Llama architecture) that answers questions about
`aicp` and nothing else. It exists so that a fresh installation can import, publish and call a real model on any machine
in seconds. It repeats answers of a short FAQ in English; it does not reason, knows nothing of the world, and gives a
wrong answer with the same confidence as a right one. Publish a real model for real work.

| | |
|---|---|
| trained from nothing on | `demo/faq.jsonl`: {items} questions about the product, each in about thirty phrasings |
| trained by | `demo/train.py`; settings, versions and loss curve are in `demo/training_log.jsonl` |
| right item, FAQ questions | {faq} of {faq_total} |
| right item, phrasings not in training | {held_out} of {held_out_total} (`demo/held_out.jsonl`) |
| context | 2048 tokens by configuration; it was trained on chats of a few hundred at most |
| decoding | greedy |
| licence | Apache-2.0 |

Both counts are greedy answers in bfloat16.
"""


def write_card(folder: Path, results: dict[str, dict[str, float]]) -> None:
    """Write the card with the measured results ("faq" and "held_out") into the model folder."""
    faq, held_out = results["faq"], results["held_out"]
    text = CARD.format(
        items=round(faq["questions"]),
        faq=round(faq["right_item"] * faq["questions"]),
        faq_total=round(faq["questions"]),
        held_out=round(held_out["right_item"] * held_out["questions"]),
        held_out_total=round(held_out["questions"]),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
