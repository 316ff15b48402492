"""`aicp chat`: talk to a service from a terminal."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import typer

from aicp.cli.connection import connect
from aicp.cli.output import err
from aicp.client.transport import error_of, unreachable

Messages = list[dict[str, str]]


def stream_chat(
    base_url: str,
    token: str,
    model: str,
    messages: Messages,
    options: dict[str, Any],
    *,
    tls: ssl.SSLContext | None = None,
    project: str | None = None,
) -> Iterator[str]:
    """The pieces of the answer of an OpenAI-compatible API at `base_url` (which ends in /v1).

    `project` is for the playground: whose usage it is.
    """
    body = {"model": model, "messages": messages, "stream": True, **options}
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{base_url}/chat/completions"
    try:
        with (
            httpx.Client(
                trust_env=False, timeout=httpx.Timeout(30, read=None), verify=True if tls is None else tls
            ) as http,
            http.stream(
                "POST", url, params={"project": project} if project else None, json=body, headers=headers
            ) as response,
        ):
            if not response.is_success:
                raise error_of(response.status_code, response.read())
            for line in response.iter_lines():
                yield from _content(line)
    except httpx.HTTPError as error:
        raise unreachable(base_url, error) from error


def _content(line: str) -> Iterator[str]:
    if not line.startswith("data: ") or line == "data: [DONE]":
        return
    event = json.loads(line[6:])
    if "error" in event:
        raise error_of(502, line[6:].encode())
    for choice in event.get("choices", []):
        text = choice.get("delta", {}).get("content")
        if text:
            yield text


def chat(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Public name of a service.")],
    message: Annotated[str | None, typer.Argument(help="One question; without it a conversation starts.")] = None,
    system: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    project: Annotated[str | None, typer.Option(help="Whose usage it is, without --key.")] = None,
    key: Annotated[str | None, typer.Option(envvar="AICP_API_KEY", help="Call the gateway with this API key.")] = None,
    base_url: Annotated[str | None, typer.Option(envvar="AICP_BASE_URL", help="Gateway address with --key.")] = None,
) -> None:
    """Talk to a published model."""
    client = connect(ctx)
    if key:
        url, token = base_url or client.services.get(model).address or "", key
    else:
        url = f"{client.transport.url}/api/v1/playground/v1"
        token = client.transport.token or ""
    options: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
    options = {name: value for name, value in options.items() if value is not None}
    tls = client.transport.tls
    history: Messages = [{"role": "system", "content": system}] if system else []
    for question in [message] if message else _questions():
        history.append({"role": "user", "content": question})
        answer: list[str] = []
        for piece in stream_chat(url, token, model, history, options, tls=tls, project=None if key else project):
            answer.append(piece)
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
        history.append({"role": "assistant", "content": "".join(answer)})


def _questions() -> Iterator[str]:
    err.print("[dim]Empty line or Ctrl-D ends.[/]")
    while True:
        try:
            question = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if not question:
            return
        yield question
