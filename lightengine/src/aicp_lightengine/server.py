"""Answers requests: who asks, which model, which path; and tells how much was done."""

from __future__ import annotations

import hmac
import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aicp_lightengine import ocr_endpoint, text_endpoints
from aicp_lightengine.errors import Refused
from aicp_lightengine.http_server import Answer, Request
from aicp_lightengine.models import Served

_OPEN = frozenset({"/health"})
_PATHS = {**text_endpoints.PATHS, **ocr_endpoint.PATHS}
_GETS = frozenset({"/health", "/metrics", "/v1/models"})


@dataclass
class Server:
    """Every model under its name, behind one secret."""

    models: Mapping[str, Served]
    token: str
    running: int = 0
    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    lines: int = 0
    _expected: str = field(init=False)

    def __post_init__(self) -> None:
        self._expected = f"Bearer {self.token}"

    async def answer(self, request: Request) -> Answer:
        """The answer to one request; never raises."""
        self.requests += 1
        self.running += 1
        try:
            return Answer(200, await self._answer(request))
        except Refused as refused:
            return Answer(refused.status, refused.body(), refused.retry_after)
        except Exception:
            self.failed += 1
            traceback.print_exc()
            return Answer(500, Refused(500, "The computation failed; the engine's log says why.").body())
        finally:
            self.running -= 1

    async def _answer(self, request: Request) -> Any:
        if request.path not in _OPEN and not self._is_ours(request):
            raise Refused(401, "The token of this engine is wrong or missing.")
        if request.path in _GETS:
            if request.method != "GET":
                raise Refused(405, f"{request.path} takes GET only.")
            return self._told(request.path)
        if request.path not in _PATHS:
            raise Refused(404, f"There is nothing at {request.path[:100]}.")
        if request.method != "POST":
            raise Refused(405, f"{request.path} takes POST only.")
        return await self._computed(request.path, _parse(request.body))

    def _is_ours(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode("latin-1", "replace"), self._expected.encode())

    def _told(self, path: str) -> Any:
        if path == "/health":
            return {"status": "ok"}
        if path == "/metrics":
            return self._metrics()
        return {
            "object": "list",
            "data": [
                {"id": served.name, "object": "model", "created": 0, "owned_by": "aicp", "kind": served.kind}
                for served in self.models.values()
            ],
        }

    async def _computed(self, path: str, body: dict[str, Any]) -> Any:
        name = body.get("model")
        served = self.models.get(name) if isinstance(name, str) else None
        if served is None:
            raise Refused(404, f"The model {name!r} does not exist here.", "model")
        kinds, call = _PATHS[path]
        if served.kind not in kinds:
            mine = ", ".join(sorted(path for path, (known, _) in _PATHS.items() if served.kind in known))
            raise Refused(400, f"{served.name} is a model for {served.kind}, which serves {mine}.", "model")
        answer = await call(served, body)
        self.prompt_tokens += answer.get("usage", {}).get("prompt_tokens", 0)
        self.lines += len(answer.get("lines", ()))
        return answer

    def _metrics(self) -> str:
        batchers = [served.batcher for served in self.models.values()]
        values = {
            "light:requests_running": self.running,
            "light:items_waiting": sum(batcher.waiting for batcher in batchers),
            "light:requests_total": self.requests,
            "light:requests_failed_total": self.failed,
            "light:prompt_tokens_total": self.prompt_tokens,
            "light:generation_tokens_total": 0,
            "light:lines_total": self.lines,
            "light:batches_total": sum(batcher.batches for batcher in batchers),
            "light:batched_items_total": sum(batcher.computed for batcher in batchers),
        }
        return "".join(f"{name} {value}\n" for name, value in values.items())


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The body is not JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise Refused(400, "The body is not a JSON object.")
    return value
