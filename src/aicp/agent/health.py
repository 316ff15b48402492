"""Asks an engine whether it serves."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from aicp.agent.processes import EngineProcess
from aicp.core.launch import HealthCheck


@dataclass(frozen=True, slots=True)
class Probe:
    """One answer. `slow` tells a busy engine (no answer in time) from one that refuses or says it is ill."""

    ok: bool
    slow: bool = False
    detail: str = ""


class HealthProbe:
    """One engine's health address, asked over a connection that is kept."""

    def __init__(self, check: HealthCheck, address: str, token: str | None) -> None:
        self._path = check.path
        self._token_path = check.token_path or check.path
        path = address.removeprefix("unix:") if address.startswith("unix:") else None
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=path) if path else None,
            base_url="http://engine" if path else address,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=check.timeout_seconds,
            trust_env=False,
        )

    async def ask(self) -> Probe:
        """One question. Never raises. Who cannot be asked is well while it runs."""
        if not self._path:
            return Probe(True)
        try:
            answer = await self._http.get(self._path)
        except httpx.TimeoutException:
            return Probe(False, slow=True, detail="no answer in time")
        except httpx.HTTPError as error:
            return Probe(False, detail=str(error) or type(error).__name__)
        return Probe(
            answer.is_success, detail="" if answer.is_success else f"health check answered {answer.status_code}"
        )

    async def accepts_token(self) -> bool | None:
        """Whether the engine takes the token; None when that cannot be told now. Never raises."""
        if not self._token_path:
            return None
        try:
            answer = await self._http.get(self._token_path)
        except httpx.HTTPError:
            return None
        if answer.status_code in (401, 403):
            return False
        return None if answer.is_server_error else True

    async def close(self) -> None:
        """Gives the connection back."""
        await self._http.aclose()


async def refusal_of(process: EngineProcess, probe: HealthProbe) -> str | None:
    """Why the process is not ours, as far as it can be told: one whose token was not seen yet must accept it."""
    if not process.proven:
        accepted = await probe.accepts_token()
        if accepted is False:
            return "The process found in the engine's place does not accept the token of its start."
        process.proven = accepted is True
    return None
