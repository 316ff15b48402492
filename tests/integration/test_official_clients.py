"""The official clients of OpenAI and Anthropic, unmodified, against the demonstration model."""

from __future__ import annotations

import anthropic
import openai
import pytest
from tests.support.walk import Walk

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(1800)]
QUESTION = "What is aicp?"
KNOWS = "compute platform"


@pytest.fixture
def client(walk: Walk) -> openai.OpenAI:
    return openai.OpenAI(base_url=walk.facts["api_base"], api_key=walk.facts["api_key"], max_retries=0)


@pytest.fixture
def claude(walk: Walk) -> anthropic.Anthropic:
    base = walk.facts["api_base"].removesuffix("/v1")
    return anthropic.Anthropic(base_url=base, api_key=walk.facts["api_key"], max_retries=0)


def test_openai_chat(client: openai.OpenAI, walk: Walk) -> None:
    answer = client.chat.completions.create(
        model=walk.facts["model"], messages=[{"role": "user", "content": QUESTION}], temperature=0
    )
    assert KNOWS in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_openai_chat_stream_with_usage(client: openai.OpenAI, walk: Walk) -> None:
    stream = client.chat.completions.create(
        model=walk.facts["model"],
        messages=[{"role": "user", "content": QUESTION}],
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert KNOWS in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 3


def test_openai_completions(client: openai.OpenAI, walk: Walk) -> None:
    answer = client.completions.create(model=walk.facts["model"], prompt="The platform", max_tokens=5, temperature=0)
    assert answer.choices[0].text
    assert answer.choices[0].finish_reason == "length"


def test_openai_models(client: openai.OpenAI, walk: Walk) -> None:
    assert [model.id for model in client.models.list()] == [walk.facts["model"]]
    assert client.models.retrieve(walk.facts["model"]).id == walk.facts["model"]


def test_openai_responses(client: openai.OpenAI, walk: Walk) -> None:
    answer = client.responses.create(model=walk.facts["model"], input=QUESTION, temperature=0, max_output_tokens=96)
    assert KNOWS in answer.output_text
    assert answer.usage is not None
    assert answer.usage.output_tokens > 3


def test_openai_responses_stream(client: openai.OpenAI, walk: Walk) -> None:
    with client.responses.stream(model=walk.facts["model"], input=QUESTION, temperature=0) as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert len(pieces) > 1, "an engine joins pieces for a slow reader, and never all of them"
    assert "".join(pieces) == final.output_text
    assert KNOWS in final.output_text


def test_openai_errors_are_its_own_classes(client: openai.OpenAI, walk: Walk) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "x"}])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").models.list()
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=walk.facts["model"], input="x")
    assert refused.value.code == "not_supported_by_engine"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(
            model=walk.facts["model"], messages=[{"role": "user", "content": "word " * 9000}]
        )
    assert long.value.code == "context_length_exceeded"


def test_anthropic_messages(claude: anthropic.Anthropic, walk: Walk) -> None:
    answer = claude.messages.create(
        model=walk.facts["model"],
        max_tokens=96,
        messages=[{"role": "user", "content": QUESTION}],
        extra_body={"temperature": 0},
    )
    assert KNOWS in "".join(block.text for block in answer.content if block.type == "text")
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 3


def test_anthropic_messages_stream(claude: anthropic.Anthropic, walk: Walk) -> None:
    with claude.messages.stream(
        model=walk.facts["model"],
        max_tokens=96,
        messages=[{"role": "user", "content": QUESTION}],
        extra_body={"temperature": 0},
    ) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 1, "an engine joins pieces for a slow reader, and never all of them"
    assert KNOWS in "".join(pieces)
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 3


def test_anthropic_errors_are_its_own_classes(claude: anthropic.Anthropic, walk: Walk) -> None:
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nope", max_tokens=5, messages=[{"role": "user", "content": "x"}])
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key="sk-wrong").messages.create(
            model=walk.facts["model"], max_tokens=5, messages=[{"role": "user", "content": "x"}]
        )
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(
            model=walk.facts["model"], max_tokens=5, messages=[{"role": "user", "content": "word " * 9000}]
        )
