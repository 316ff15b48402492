"""Train the demonstration model from nothing on the FAQ, on a CPU, in a few minutes.

    python demo/train.py                      writes demo/model, demo/training_log.jsonl and demo/digest.txt
    python demo/train.py --rehearse           trains without every seventh phrasing and scores on those; writes nothing

Settings are chosen with --rehearse; the held-out questions are only counted at the end and choose nothing.
The same seed, library versions, thread count and processor give the same weights.
"""

import argparse
import hashlib
import json
import math
import platform
import random
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import tokenizers
import torch
import transformers
from augment import SYSTEM_PROMPTS, rewrite
from evaluate import evaluate, judge, shares
from lessons import IGNORED, Batch, Lessons, asked
from model_card import write_card
from score import FOLDER, FaqItem, HeldOutQuestion, load_faq, load_held_out
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM
from vocabulary import END, PAD, learn, save

CONTEXT = 2048


@dataclass(frozen=True)
class Settings:
    """Everything that shapes the training."""

    seed: int = 7
    threads: int = 1
    steps: int = 480
    chats: int = 32
    learning_rate: float = 1.5e-3
    warmup: int = 40
    weight_decay: float = 0.1
    dropout: float = 0.1
    vocabulary: int = 2048
    hidden: int = 256
    layers: int = 4
    feed_forward: int = 768


def corpus(items: list[FaqItem], rng: random.Random) -> list[str]:
    """Texts for the tokenizer: answers, system prompts, and several rewritings of each question."""
    texts = [item.answer for item in items for _ in range(8)] + list(SYSTEM_PROMPTS)
    texts += ["system\n", "user\n", "assistant\n"]
    for item in items:
        for text in asked(item):
            texts += [text, *(rewrite(text, rng) for _ in range(4))]
    return texts


def new_model(settings: Settings, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A Llama of a few million parameters with random weights. Head size 64 is one that all engines support."""
    config = LlamaConfig(
        vocab_size=settings.vocabulary,
        hidden_size=settings.hidden,
        intermediate_size=settings.feed_forward,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.hidden // 64,
        num_key_value_heads=settings.hidden // 128,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return LlamaForCausalLM(config)


def drop_out(model: LlamaForCausalLM, share: float) -> list[torch.utils.hooks.RemovableHandle]:
    """Blank random values after every attention and feed-forward block, against learning by heart.

    Llama itself has no such layer, so it hangs on the blocks as hooks; removing them leaves a plain Llama.
    """

    def after_attention(_: torch.nn.Module, __: object, output: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (torch.nn.functional.dropout(output[0], share), *output[1:])

    def after_block(_: torch.nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(output, share)

    handles = [model.model.embed_tokens.register_forward_hook(after_block)]
    for name, module in model.named_modules():
        if name.endswith(".self_attn"):
            handles.append(module.register_forward_hook(after_attention))
        elif name.endswith(".mlp"):
            handles.append(module.register_forward_hook(after_block))
    return handles


def rate(step: int, settings: Settings) -> float:
    """The learning rate's factor: linear warm-up, then a half cosine down to a fiftieth."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def optimizer_for(model: LlamaForCausalLM, settings: Settings) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves norms alone."""
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    norms = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))


def loss_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross entropy, in nats, of the answers' tokens."""
    hidden = model.model(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state[:, :-1]
    labels = batch.labels[:, 1:]
    chosen = labels != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[chosen]).float(), labels[chosen])


def fit(model: LlamaForCausalLM, lessons: Lessons, settings: Settings) -> list[dict[str, float]]:
    """Train in place and return the loss curve."""
    optimizer = optimizer_for(model, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, settings))
    curve: list[dict[str, float]] = []
    waiting: list[Batch] = []
    recent: list[float] = []
    began = time.monotonic()
    for step in range(1, settings.steps + 1):
        waiting = waiting or lessons.batches(settings.chats)
        loss = loss_of(model, waiting.pop())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % 25 == 0:
            curve.append(
                {
                    "step": step,
                    "loss": round(sum(recent) / len(recent), 5),
                    "seconds": round(time.monotonic() - began, 1),
                }
            )
            print(curve[-1], flush=True)
            recent.clear()
    return curve


def train(
    items: list[FaqItem], held_out: list[HeldOutQuestion], settings: Settings, folder: Path
) -> list[dict[str, float]]:
    """Train a model, save it in bfloat16 with its tokenizer into `folder`, and return the loss curve."""
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    tokenizer = learn(corpus(items, random.Random(settings.seed)), settings.vocabulary)
    model = new_model(settings, tokenizer)
    print(
        f"{sum(weight.numel() for weight in model.parameters())} parameters, {tokenizer.get_vocab_size()} tokens",
        flush=True,
    )
    lessons = Lessons(items, held_out, tokenizer, settings.seed)
    hooks = drop_out(model, settings.dropout)
    curve = fit(model, lessons, settings)
    for hook in hooks:
        hook.remove()
    lessons.check_seen()
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.token_to_id(END), pad_token_id=tokenizer.token_to_id(PAD), do_sample=False
    )
    model.bfloat16().save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes 0600, and an engine under its own user has to read it
    save(tokenizer, folder, CONTEXT)
    return curve


def rehearse(settings: Settings) -> None:
    """Train without every seventh phrasing and print how many of those the model then gets right."""
    items = load_faq()
    reduced = [item._replace(phrasings=tuple(t for n, t in enumerate(item.phrasings) if n % 7 != 3)) for item in items]
    hidden = [(item.id, text) for item in items for n, text in enumerate(item.phrasings) if n % 7 == 3]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(reduced, load_held_out(), settings, folder)
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
        outcomes = judge(model, AutoTokenizer.from_pretrained(folder), items, hidden)
    print(json.dumps(shares(outcomes)))
    for outcome in outcomes:
        if outcome.found != outcome.wanted:
            print(f"{outcome.wanted} -> {outcome.found}: {outcome.question}")


def versions() -> dict[str, str]:
    """What the training ran on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "safetensors": safetensors.__version__,
        "machine": platform.machine(),
    }


def write_log(
    settings: Settings, curve: list[dict[str, float]], results: dict[str, dict[str, dict[str, float]]]
) -> None:
    """One JSON object a line: settings, versions, the loss curve, results per dtype."""
    lines = [{"settings": asdict(settings)}, {"versions": versions()}, *curve, {"results": results}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (FOLDER / "training_log.jsonl").write_text(text, encoding="utf-8")


def write_digests() -> None:
    """sha256 of every file of the model and of the texts it was trained and judged on, as `sha256sum -c` reads it."""
    files = [*sorted((FOLDER / "model").iterdir()), FOLDER / "faq.jsonl", FOLDER / "held_out.jsonl"]
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(FOLDER)}\n" for file in files]
    (FOLDER / "digest.txt").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the demonstration model on the FAQ.")
    parser.add_argument(
        "--rehearse", action="store_true", help="leave out some phrasings, score on them, write nothing"
    )
    parser.add_argument("--steps", type=int, default=Settings.steps)
    options = parser.parse_args()
    settings = Settings(steps=options.steps)
    if options.rehearse:
        rehearse(settings)
        return
    folder = FOLDER / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    curve = train(load_faq(), load_held_out(), settings, folder)
    results = {
        dtype: {name: shares(judged) for name, judged in evaluate(folder, dtype).items()}
        for dtype in ("bfloat16", "float32")
    }
    write_card(folder, results["bfloat16"])
    write_log(settings, curve, results)
    write_digests()
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
