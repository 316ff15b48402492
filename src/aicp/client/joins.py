"""Tokens with which machines join, and what a machine says at the platform's door for nodes."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from hashlib import sha256

import httpx
from pydantic import BaseModel

from aicp.client.places import reach
from aicp.client.transport import Transport, error_of
from aicp.core.errors import AicpError, InvalidError, UnauthorizedError, UnavailableError
from aicp.core.join import (
    Joined,
    JoinRequest,
    JoinToken,
    JoinTokenCreate,
    JoinTokenCreated,
    JoinTokenPage,
    RayAdmission,
    RayPapersAnswer,
    RayPapersRequest,
    Renewed,
    RenewRequest,
)
from aicp.core.join_token import read_join_token
from aicp.core.mutual import CONTROL_NAME

_SECONDS = 20.0


class JoinTokens:
    """Tokens with which machines join."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> list[JoinToken]:
        """Newest first; their texts are not kept."""
        return self._transport.every("/api/v1/join-tokens", JoinToken)

    def address(self) -> str | None:
        """HOST:PORT by which machines join; None while the platform listens for none."""
        return self._transport.get("/api/v1/join-tokens", JoinTokenPage, {"limit": 1}).address

    def create(self, wanted: JoinTokenCreate) -> JoinTokenCreated:
        """A token whose text is shown this once."""
        return self._transport.post("/api/v1/join-tokens", JoinTokenCreated, wanted)

    def delete(self, token_id: str) -> None:
        """Takes one away; nodes that joined with it stay."""
        self._transport.delete(f"/api/v1/join-tokens/{token_id}")


def join(address: str, token: str, asked: JoinRequest) -> Joined:
    """Joins the platform whose door for nodes is at `address` (HOST:PORT).

    The token says by which authority the platform proves itself, and nothing is told to anybody else. Raises
    InvalidError for what is no token, UnauthorizedError, UnavailableError, and what the platform has against it.
    """
    text = read_join_token(token)
    if text is None:
        raise InvalidError("This is no join token; perhaps it was cut.", hint="Copy the whole of it.")
    authority = _ask_authority(address)
    if authority is None or _fingerprint(authority) != text.fingerprint:
        raise UnauthorizedError(
            f"What answers at {address} is not the platform that this token is for.",
            hint="Compare the address with what `aicp node token` says. If both are right, somebody is in between.",
        )
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    trust.load_verify_locations(cadata=authority)
    return Joined.model_validate_json(_post(address, trust, asked, token).content)


async def renew(control_url: str, tls: Callable[[], ssl.SSLContext], request: str) -> str:
    """A new certificate (PEM) for a node; `control_url` is `mtls://`. Raises AicpError."""
    content = await _ask_as_node(control_url, tls, "/join/v1/renew", RenewRequest(request=request))
    return Renewed.model_validate_json(content).certificate


async def renew_ray_papers(control_url: str, tls: Callable[[], ssl.SSLContext], authority: str) -> RayAdmission | None:
    """New papers of a member of Ray that believes in `authority` (PEM); None where those it has hold. Raises
    AicpError: UnauthorizedError for a node that was removed."""
    content = await _ask_as_node(control_url, tls, "/join/v1/ray", RayPapersRequest(authority=authority))
    return RayPapersAnswer.model_validate_json(content).ray


async def _ask_as_node(control_url: str, tls: Callable[[], ssl.SSLContext], path: str, body: BaseModel) -> bytes:
    url, transport = reach(control_url, tls)
    async with httpx.AsyncClient(transport=transport, base_url=url, timeout=_SECONDS, trust_env=False) as http:
        try:
            answer = await http.post(path, json=body.model_dump(mode="json"))
        except httpx.HTTPError as error:
            raise UnavailableError(f"The control plane does not answer ({error or type(error).__name__}).") from error
    if not answer.is_success:
        raise error_of(answer.status_code, answer.content)
    return answer.content


def _ask_authority(address: str) -> str | None:
    """Which authority a platform says it has; whoever answers is not believed yet."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        _post(address, anybody, None, None)
    except AicpError as error:
        said = error.details.get("authority")
        if isinstance(said, str):
            return said
        if error.status != UnauthorizedError.status:
            raise
    return None


def _fingerprint(certificate_pem: str) -> str:
    try:
        return sha256(ssl.PEM_cert_to_DER_cert(certificate_pem)).hexdigest()
    except ValueError:
        return ""


def _post(address: str, tls: ssl.SSLContext, body: BaseModel | None, token: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    content = None if body is None else body.model_dump(mode="json")
    try:
        with httpx.Client(verify=tls, timeout=_SECONDS, trust_env=False) as http:
            answer = http.post(
                f"https://{address}/join/v1",
                json=content,
                headers=headers,
                extensions={"sni_hostname": CONTROL_NAME},
            )
    except httpx.InvalidURL as error:
        raise InvalidError(f"{address!r} is no address.", hint="Write HOST:PORT.") from error
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"No platform answers at {address} ({str(error) or type(error).__name__}).",
            hint="It must be started with `aicp up --cluster HOST:PORT`, and the port must be open to this machine.",
        ) from error
    if not answer.is_success:
        raise error_of(answer.status_code, answer.content)
    return answer
