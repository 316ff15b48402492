"""Calls of other people's client libraries, made in an environment that has them; prints what came of it as JSON.

`python foreign_clients.py langchain|litellm BASE_URL KEY`. Nothing of the platform is imported here.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

QUESTION = "one two three"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def main(library: str, base: str, key: str) -> None:
    """Every call, the second half of them asynchronous."""
    calls = {"langchain": langchain, "litellm": litellm}[library]
    print(json.dumps(calls(base, key)))


def langchain(base: str, key: str) -> dict[str, Any]:
    """LangChain's client of OpenAI's API."""
    module = importlib.import_module("langchain_openai")

    def chat(model: str, secret: str = key) -> Any:
        return module.ChatOpenAI(model=model, base_url=base, api_key=secret, max_retries=0, timeout=20)

    echo, tools = chat("echo"), chat("tools").bind_tools([WEATHER])
    chunks = list(echo.stream(QUESTION, stream_usage=True))
    pieces = list(tools.stream("Weather in Taipei?"))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole + piece
    embeddings = module.OpenAIEmbeddings(
        model="embed", base_url=base, api_key=key, check_embedding_ctx_length=False, max_retries=0
    )
    said = echo.invoke(QUESTION)

    async def asynchronous() -> list[str]:
        return [chunk.content async for chunk in echo.astream(QUESTION)]

    return {
        "chat": [said.content, said.usage_metadata["input_tokens"], said.usage_metadata["output_tokens"]],
        "stream": ["".join(chunk.content for chunk in chunks), len(chunks) > 3],
        "stream_usage": sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata),
        "asynchronous": "".join(asyncio.run(asynchronous())),
        "tool": tools.invoke("Weather in Taipei?").tool_calls[0],
        "streamed_tool": whole.tool_calls[0],
        "embeddings": [len(vector) for vector in embeddings.embed_documents(["a", "b"])],
        "unknown_model": refusal(lambda: chat("nothing").invoke(QUESTION)),
        "wrong_key": refusal(lambda: chat("echo", "sk-wrong").invoke(QUESTION)),
        "refused_field": refusal(lambda: echo.invoke(QUESTION, extra_body={"priority": 1})),
    }


def litellm(base: str, key: str) -> dict[str, Any]:
    """LiteLLM's client, which must not look for a list of prices in the web."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    module = importlib.import_module("litellm")
    module.telemetry = False

    def chat(model: str, secret: str = key, **more: Any) -> Any:
        messages = [{"role": "user", "content": QUESTION}]
        where = {"api_base": base, "api_key": secret, "num_retries": 0, "timeout": 20}
        return module.completion(model=f"openai/{model}", messages=messages, **where, **more)

    said = chat("echo")
    chunks = list(chat("echo", stream=True, stream_options={"include_usage": True}))
    pieces = list(chat("tools", stream=True, tools=[WEATHER]))
    vectors = module.embedding(model="openai/embed", input=["a", "b"], api_base=base, api_key=key).data

    async def asynchronous() -> str:
        messages = [{"role": "user", "content": QUESTION}]
        answer = await module.acompletion(model="openai/echo", messages=messages, api_base=base, api_key=key)
        return answer.choices[0].message.content

    return {
        "chat": [said.choices[0].message.content, said.usage.prompt_tokens, said.usage.completion_tokens],
        "stream": ["".join(delta(chunk).content or "" for chunk in chunks if chunk.choices), len(chunks) > 3],
        "stream_usage": sum(chunk.usage.completion_tokens for chunk in chunks if getattr(chunk, "usage", None)),
        "asynchronous": asyncio.run(asynchronous()),
        "tool": called(chat("tools", tools=[WEATHER]).choices[0].message),
        "streamed_tool": called(module.stream_chunk_builder(pieces).choices[0].message),
        "embeddings": [len(vector["embedding"]) for vector in vectors],
        "unknown_model": refusal(lambda: chat("nothing")),
        "wrong_key": refusal(lambda: chat("echo", "sk-wrong")),
        "refused_field": refusal(lambda: chat("echo", extra_body={"priority": 1})),
    }


def delta(chunk: Any) -> Any:
    """What a chunk adds."""
    return chunk.choices[0].delta


def called(message: Any) -> dict[str, Any]:
    """The first call of a tool, as LangChain tells it."""
    call = message.tool_calls[0]
    return {
        "name": call.function.name,
        "args": json.loads(call.function.arguments),
        "id": call.id,
        "type": "tool_call",
    }


def refusal(call: Callable[[], Any]) -> list[Any]:
    """The status of the exception that a call raises, and its classes."""
    try:
        call()
    except Exception as error:
        return [getattr(error, "status_code", None), *(kind.__name__ for kind in type(error).__mro__)]
    return [200]


if __name__ == "__main__":
    main(*sys.argv[1:])
