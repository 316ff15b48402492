"""Rewrite a question the way different people would type it.

Everything is drawn from the generator that the caller passes, so the same seed gives the same training set.
"""

import random
import re

SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("how do i", "how can i", "how could i", "how should i", "how would i", "how does one", "what do i do to"),
    ("how to", "what is the way to", "what is the best way to", "what are the steps to", "which steps do i take to"),
    ("tell me", "explain", "show me", "let me know", "i want to know", "i would like to know", "can you tell me"),
    ("what is", "what's", "what exactly is", "explain", "tell me about", "what is meant by", "describe"),
    ("what are", "what exactly are", "explain", "tell me about"),
    ("i want to", "i would like to", "i need to", "i'd like to", "i have to", "i must", "i am trying to"),
    ("can i", "could i", "may i", "am i able to", "is it possible to", "is there a way to", "are we able to"),
    ("which", "what"),
    ("where is", "where's", "where do i find", "where can i find", "where can i see"),
    ("where do i", "where can i", "where should i", "in which place do i"),
    ("aicp", "the platform", "this platform", "the system", "the product", "this software", "the tool"),
    ("stop", "shut down", "turn off", "halt", "terminate", "end", "switch off", "quit", "exit", "power off"),
    ("start", "launch", "boot", "bring up", "fire up", "run", "start up"),
    ("create", "make", "generate", "obtain", "issue", "set up", "get"),
    ("import", "add", "upload", "bring in", "load", "register", "ingest"),
    ("publish", "deploy", "serve", "expose", "release", "put online"),
    ("model", "llm", "language model", "ai model"),
    ("weights", "checkpoint", "model files"),
    ("directory", "folder", "location", "path"),
    ("disk", "drive", "volume", "partition", "ssd"),
    ("gpu", "card", "graphics card", "accelerator", "video card"),
    ("gpus", "cards", "graphics cards", "accelerators", "video cards"),
    ("admin", "administrator", "admin user", "superuser"),
    ("initial", "first", "default", "original"),
    ("log in", "sign in", "login"),
    ("licence", "license", "licensing"),
    ("console", "web console", "ui", "web ui", "user interface", "web interface", "web page", "dashboard"),
    ("supported", "available", "offered", "possible", "usable"),
    ("logs", "log files", "log output", "log messages"),
    ("crashes", "dies", "gets killed", "is killed", "fails", "goes down", "breaks", "is terminated"),
    ("crash", "failure", "sudden death", "hard kill", "breakdown"),
    ("update", "upgrade"),
    ("new version", "newer version", "next version", "newer release", "latest version"),
    ("long text", "long_text", "long-text", "longtext"),
    ("documents", "texts", "articles", "reports", "papers"),
    ("prompts", "inputs", "contexts", "questions"),
    ("long", "lengthy", "large", "big", "huge", "very long"),
    ("colleague", "co-worker", "team member", "teammate", "user", "person"),
    ("users", "people", "clients", "customers", "callers"),
    ("database", "db", "data base", "database system"),
    ("postgresql", "postgres", "postgre sql"),
    ("see", "view", "look at", "read", "find", "check", "watch"),
    ("stored", "saved", "kept", "located", "held"),
    ("store", "save", "keep", "hold"),
    ("choose", "select", "pick", "decide on"),
    ("parameters", "flags", "options", "arguments", "settings", "knobs"),
    ("share", "split", "divide", "partition", "cut"),
    ("change", "modify", "set", "configure", "adjust", "alter"),
    ("variable", "environment variable", "env var", "setting"),
    ("application", "app", "program", "service", "script"),
    ("need", "require", "have to have"),
    ("use", "work with", "utilise", "employ"),
    ("allowed", "permitted", "accepted"),
    ("several", "multiple", "many", "two", "a few", "more than one"),
    ("command", "cli command", "shell command", "instruction"),
    ("machine", "computer", "server", "host", "box"),
    ("machines", "computers", "servers", "hosts", "nodes"),
    ("consumed", "used", "spent", "burned"),
    ("happens", "occurs", "goes on", "will happen"),
    ("service", "model service", "endpoint", "deployment"),
    ("engine", "inference engine", "serving engine", "runtime", "backend"),
    ("engines", "inference engines", "serving engines", "runtimes", "backends"),
    ("openai client", "openai sdk", "openai library", "openai package", "client of openai"),
    ("base url", "base_url", "api url", "endpoint", "address"),
)

PREFIXES = (
    "Please, ", "Hi, ", "Hello, ", "Hey, ", "Quick question: ", "I have a question. ", "Excuse me, ", "One question: ",
    "Sorry, ", "Could you help me? ", "I am new here. ", "Just wondering, ", "Now ", "And ", "So ", "OK, ", "Well, ",
    "Good morning, ", "Can you tell me: ", "I was wondering, ", "Tell me, ", "My boss asks: ", "By the way, ",
)  # fmt: skip

SUFFIXES = (
    ", please", " please", ", thanks", " Thanks!", " Thank you.", " in aicp", " with aicp", " on this platform",
    " here", " now", " exactly", " again", " for me", " on my machine", ", can you help me", ", do you know", " at all",
)  # fmt: skip

TOPIC_FRAMES = (
    "What about {}?", "Tell me about {}.", "Explain {}.", "I have a question about {}.", "What should I know about {}?",
    "Can you explain {}?", "How does it work with {}?", "Something about {}, please.", "{}?", "{}", "Help me with {}.",
    "I want to know more about {}.", "What can you tell me about {}?", "Where do I find information about {}?",
    "I do not understand {}.", "Is there anything to say about {}?", "I need some details on {}.",
    "What is the story with {}?",
    "Please describe {}.", "How is it with {}?", "I am interested in {}.", "Does the platform have something for {}?",
    "What do you know about {}?", "Could you say a few words about {}?", "And {}?",
    "I was told about {}, what is that?",
)  # fmt: skip
"""Ways of asking that say nothing of the subject, so that the model learns to look for the subject."""

ACTION_FRAMES = (
    "How do I {}?", "How can I {}?", "How to {}?", "I want to {}.", "I would like to {}.", "Can I {}?", "I need to {}.",
    "Is it possible to {}?", "What is the way to {}?", "What do I have to do to {}?", "Where do I {}?",
    "Show me how to {}.",
    "Tell me how to {}.", "Is there a command to {}?", "Which steps are needed to {}?", "Help me {}.", "May I {}?",
    "I am trying to {}, how?", "Please explain how to {}.", "{}", "Which command do I need if I want to {}?",
    "My boss asked me to {}.", "What if I want to {}?", "In order to {}, what do I do?", "Am I able to {}?",
    "Could somebody tell me how to {}?", "Someone has to {}, how does that work?", "We want to {}.", "Where can I {}?",
)  # fmt: skip
"""The same for things that a person wants to do."""

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are the assistant of aicp.",
    "Answer briefly.",
    "You are a friendly chat assistant. Answer in one or two sentences.",
    "Be precise and polite.",
    "You answer questions about the platform.",
)

_FILLERS = frozenset(
    ("a", "an", "the", "is", "are", "do", "does", "i", "my", "it", "to", "of", "for", "in", "on", "with", "and",
     "that", "this", "can", "be", "please", "me")
)  # fmt: skip
_GROUPS: dict[str, list[tuple[str, ...]]] = {}
for _group in SYNONYMS:
    for _phrase in _group:
        _GROUPS.setdefault(_phrase, []).append(_group)
_PHRASES = re.compile(
    r"(?<![\w-])(?:" + "|".join(re.escape(phrase) for phrase in sorted(_GROUPS, key=len, reverse=True)) + r")(?![\w-])",
    re.IGNORECASE,
)


def swap_synonyms(text: str, rng: random.Random, share: float) -> str:
    """Replace about `share` (0 to 1) of the known phrases by another one of their group."""

    def other(match: re.Match[str]) -> str:
        if rng.random() >= share:
            return match.group()
        replacement = rng.choice(rng.choice(_GROUPS[match.group().lower()]))
        return replacement.capitalize() if match.group()[0].isupper() else replacement

    return _PHRASES.sub(other, text)


def drop_words(text: str, rng: random.Random, share: float) -> str:
    """Leave out words, as in a search box: fillers with probability `share`, others with a fifth of it."""
    kept = [word for word in text.split() if rng.random() >= (share if word.lower() in _FILLERS else share / 5)]
    return " ".join(kept) or text


def mistype(text: str, rng: random.Random) -> str:
    """One slip of the finger in one longer word: a letter lost, doubled, or swapped with its neighbor."""
    parts = text.split(" ")
    longer = [place for place, word in enumerate(parts) if len(word) >= 5]
    if not longer:
        return text
    place = rng.choice(longer)
    word = parts[place]
    at = rng.randrange(1, len(word) - 2)
    slips = (
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    parts[place] = rng.choice(slips)
    return " ".join(parts)


def vary_case(text: str, rng: random.Random) -> str:
    """Mostly as written, often all small letters, rarely capitals."""
    draw = rng.random()
    if draw < 0.35:
        return text.lower()
    return text.upper() if draw < 0.38 else text


def vary_ending(text: str, rng: random.Random) -> str:
    """Drop or change the closing punctuation."""
    draw = rng.random()
    if draw < 0.6:
        return text
    return text.rstrip("?.! ") + rng.choice(("", "", ".", "?", "??", "!"))


def _wrap(text: str, rng: random.Random) -> str:
    if rng.random() < 0.15:
        prefix = rng.choice(PREFIXES)
        text = prefix + (text[0].lower() + text[1:] if text[:2] != "I " else text)
    if rng.random() < 0.12:
        bare = text.rstrip("?.!")
        text = bare + rng.choice(SUFFIXES) + text[len(bare) :]
    return text


def framed(topics: tuple[str, ...], actions: tuple[str, ...], rng: random.Random) -> str:
    """A question made of a random subject, a topic or an action, and a random way of asking."""
    subject = rng.choice((*topics, *actions))
    text = rng.choice(TOPIC_FRAMES if subject in topics else ACTION_FRAMES).format(subject)
    return text[0].upper() + text[1:]


def rewrite(text: str, rng: random.Random) -> str:
    """One random variant of a question. It can equal the original."""
    if rng.random() < 0.6:
        text = swap_synonyms(text, rng, 0.4)
    if rng.random() < 0.3:
        text = drop_words(text, rng, 0.3)
    text = _wrap(text, rng)
    if rng.random() < 0.12:
        text = mistype(text, rng)
    return vary_ending(vary_case(text, rng), rng)
