"""Train the demonstration cross-encoder from nothing on the FAQ, on a CPU, in a few minutes.

    python demo/rerank/train.py           writes demo/rerank/model

It learns to tell which answer of the FAQ belongs to a question: phrasings of one item against answers of others. All
text is this project's own (demo/faq.jsonl, Apache-2.0); the held-out questions are only counted at the end.
The trainer of the vocabulary breaks ties by chance, so another run counts a little differently.
"""

import json
import random
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import BertWordPieceTokenizer, Tokenizer
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertForSequenceClassification

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from score import FaqItem, load_faq, load_held_out  # noqa: E402 the path is set above

SEED, STEPS, QUESTIONS, CANDIDATES, RATE = 7, 1000, 8, 6, 2e-3
VOCABULARY, WIDTH, LAYERS, HEADS, CONTEXT = 1024, 64, 2, 4, 128
CARD = """---
license: apache-2.0
pipeline_tag: text-ranking
---
# aicp demonstration cross-encoder

**A demonstration only.** {parameters:,} parameters, trained from nothing by `demo/rerank/train.py` on the questions and
answers of `demo/faq.jsonl`, both this project's own text (Apache-2.0). It orders the answers of that FAQ by how well
they fit a question, and is good for nothing else: of {held} held-out questions it puts the right one of {items} answers
first for {first}, and among the first three for {third}.
"""


def questions_of(item: FaqItem) -> list[str]:
    """All ways of asking that are trained on."""
    return [item.question, *item.phrasings]


def learn_words(items: list[FaqItem]) -> Tokenizer:
    """A WordPiece vocabulary of the FAQ."""
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    texts = [text for item in items for text in [*questions_of(item), item.answer]]
    tokenizer.train_from_iterator(texts, vocab_size=VOCABULARY, min_frequency=2, show_progress=False)
    inner = Tokenizer.from_str(tokenizer.to_str())
    inner.post_processor = BertProcessing(("[SEP]", inner.token_to_id("[SEP]")), ("[CLS]", inner.token_to_id("[CLS]")))
    return inner


def tensors(tokenizer: Tokenizer, pairs: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """Padded token numbers of pairs."""
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"))
    tokenizer.enable_truncation(CONTEXT)
    found = tokenizer.encode_batch(pairs)
    return {
        "input_ids": torch.tensor([item.ids for item in found]),
        "token_type_ids": torch.tensor([item.type_ids for item in found]),
        "attention_mask": torch.tensor([item.attention_mask for item in found]),
    }


@torch.no_grad()
def see_equal_words(model: BertForSequenceClassification) -> None:
    """Begins with attention from each word to the same word in the other text, which chance would take long to find."""
    torch.nn.init.normal_(model.bert.embeddings.word_embeddings.weight, std=0.5)
    for layer in model.bert.encoder.layer:
        attention = layer.attention.self
        for part in (attention.query, attention.key):
            part.weight.copy_(1.2 * torch.eye(WIDTH))


def train(items: list[FaqItem], tokenizer: Tokenizer) -> BertForSequenceClassification:
    """The trained model: the right answer must stand out from the others, and above zero by itself."""
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH, max_position_embeddings=CONTEXT, num_labels=1, pad_token_id=0,
        initializer_range=WIDTH**-0.5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    see_equal_words(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
    chance = random.Random(SEED)
    wanted = torch.zeros(QUESTIONS, CANDIDATES)
    wanted[:, 0] = 1
    for step in range(STEPS):
        pairs: list[tuple[str, str]] = []
        for item in chance.sample(items, QUESTIONS):
            question = chance.choice(questions_of(item))
            others = chance.sample([other for other in items if other is not item], CANDIDATES - 1)
            pairs += [(question, answer.answer) for answer in (item, *others)]
        logits = model(**tensors(tokenizer, pairs)).logits.view(QUESTIONS, CANDIDATES)
        order = torch.nn.functional.cross_entropy(logits, torch.zeros(QUESTIONS, dtype=torch.long))
        level = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        (order + level).backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0 or step == STEPS - 1:
            print(f"step {step}: order {order.item():.3f}, level {level.item():.3f}", flush=True)
    return model.eval()


@torch.no_grad()
def ranks(model: BertForSequenceClassification, tokenizer: Tokenizer, items: list[FaqItem]) -> list[int]:
    """For each held-out question the place of its answer among all, 0 the first."""
    found = []
    for held in load_held_out():
        scores = model(**tensors(tokenizer, [(held.question, item.answer) for item in items])).logits[:, 0].tolist()
        order = sorted(range(len(items)), key=lambda index: -scores[index])
        found.append(next(place for place, index in enumerate(order) if items[index].id == held.item_id))
    return found


def write(model: BertForSequenceClassification, tokenizer: Tokenizer, places: list[int], items: int) -> None:
    """The model's folder, weights in 16 bits."""
    target = FOLDER / "model"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    model.config.architectures = ["BertForSequenceClassification"]
    model.config.dtype = "float16"
    (target / "config.json").write_text(model.config.to_json_string(), "utf-8")
    save_file(
        {name: value.half().contiguous() for name, value in model.state_dict().items() if value.is_floating_point()},
        target / "model.safetensors",
        {"format": "pt"},
    )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(target / "tokenizer.json"))
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": CONTEXT}
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    card = CARD.format(
        parameters=sum(value.numel() for value in model.parameters()),
        held=len(places),
        items=items,
        first=places.count(0),
        third=sum(place < 3 for place in places),
    )
    (target / "README.md").write_text(card, "utf-8")


def main() -> None:
    """Trains, counts and writes."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    items = load_faq()
    tokenizer = learn_words(items)
    model = train(items, tokenizer)
    places = ranks(model, tokenizer, items)
    print(f"first {places.count(0)} of {len(places)}, in the first three {sum(place < 3 for place in places)}")
    write(model, tokenizer, places, len(items))


if __name__ == "__main__":
    main()
