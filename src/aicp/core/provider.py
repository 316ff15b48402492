"""Outside providers: OpenAI-compatible services elsewhere that routes may lead to."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from aicp.core.ids import NAME_PATTERN
from aicp.core.value import Request, Value

UpstreamModel = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
Credential = Annotated[str, Field(min_length=1, max_length=8192, pattern=r"^[!-~]+$")]
"""What goes into a header: printable, without spaces."""
_URL = Field(max_length=1000, description="what stands before /chat/completions, e.g. https://api.example.com/v1")
_MODELS = Field(min_length=1, max_length=1000, description="what the provider calls the models that routes may use")
_CREDENTIAL = Field(default=None, description="sent as bearer token; kept encrypted and never shown")


class ProviderEndpoint(StrEnum):
    """A path of the OpenAI-compatible API."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RERANK = "/v1/rerank"
    RESPONSES = "/v1/responses"


DEFAULT_ENDPOINTS = [ProviderEndpoint.CHAT, ProviderEndpoint.COMPLETIONS, ProviderEndpoint.EMBEDDINGS]


class Provider(Value):
    """An outside provider without its credential."""

    id: str
    name: str
    description: str = ""
    base_url: str
    models: list[str]
    endpoints: list[ProviderEndpoint]
    has_credential: bool = False
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ProviderCreate(Request):
    """A new provider."""

    name: str = Field(pattern=NAME_PATTERN, max_length=30)
    description: str = Field(default="", max_length=2000)
    base_url: str = _URL
    credential: Credential | None = _CREDENTIAL
    models: list[UpstreamModel] = _MODELS
    endpoints: list[ProviderEndpoint] = Field(default=DEFAULT_ENDPOINTS, min_length=1)


class ProviderUpdate(Request):
    """What may change on a provider, each only when given; a `credential` of null takes it away."""

    description: str | None = Field(default=None, max_length=2000)
    base_url: str | None = Field(default=None, max_length=1000)
    credential: Credential | None = _CREDENTIAL
    models: list[UpstreamModel] | None = Field(default=None, min_length=1, max_length=1000)
    endpoints: list[ProviderEndpoint] | None = Field(default=None, min_length=1)
