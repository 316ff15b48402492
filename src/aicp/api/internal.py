"""For the platform's own processes: route tables and usage for gateways, model files for agents."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import FileResponse

from aicp.api.access import require_internal
from aicp.api.use_cases import use_case
from aicp.artifacts.blobs import Blobs
from aicp.control.gateways import Gateways
from aicp.control.request_log import RequestLog
from aicp.control.routes import RouteTables
from aicp.control.traffic import Traffic
from aicp.control.usage import Usage
from aicp.core.errors import NotFoundError
from aicp.core.gateway import Heartbeat
from aicp.core.live import Watched
from aicp.core.request_log import BodyBatch
from aicp.core.route import RouteTable, Totals
from aicp.core.usage import UsageBatch
from aicp.core.value import Value

router = APIRouter(prefix="/internal/v1", dependencies=[Depends(require_internal)], include_in_schema=False)
TablesUse = Annotated[RouteTables, use_case(RouteTables)]
UsageUse = Annotated[Usage, use_case(Usage)]
TrafficUse = Annotated[Traffic, use_case(Traffic)]
GatewaysUse = Annotated[Gateways, use_case(Gateways)]
LogUse = Annotated[RequestLog, use_case(RequestLog)]
BlobsUse = Annotated[Blobs, use_case(Blobs)]


class Accepted(Value):
    """The sequence of the batch that was counted, now or before."""

    sequence: int


@router.get("/routes", response_model=RouteTable)
async def get_routes(
    tables: TablesUse, etag: str = "", wait: Annotated[float, Query(ge=0, le=60)] = 0
) -> RouteTable | Response:
    """The route table; 304 when it still is the one of `etag` after `wait` seconds."""
    table = await tables.wait(etag, wait) if etag else await tables.current()
    return Response(status_code=304) if table is None or table.etag == etag else table


@router.post("/usage")
async def accept_usage(batch: UsageBatch, usage: UsageUse) -> Accepted:
    """Counts a batch, once however often it is sent."""
    return Accepted(sequence=await usage.accept(batch))


@router.post("/request-bodies", status_code=204)
async def accept_bodies(batch: BodyBatch, log: LogUse) -> None:
    """Keeps bodies of requests, once however often they are sent."""
    await log.accept(batch)


@router.post("/gateways/{gateway_id}/heartbeat", response_model=Watched)
async def accept_heartbeat(
    gateway_id: Annotated[str, Path(max_length=64)], beat: Heartbeat, gateways: GatewaysUse, traffic: TrafficUse
) -> Watched | Response:
    """Notes which table a gateway serves from and what it has in flight; says what somebody looks at, else 204."""
    await gateways.heartbeat(gateway_id, beat)
    return traffic.take(gateway_id, beat.live) or Response(status_code=204)


@router.get("/gateways/{gateway_id}/totals", response_model=Totals)
async def get_totals(gateway_id: Annotated[str, Path(max_length=64)], usage: UsageUse) -> Totals:
    """What limits by day and month count, with the gateway's batches so far."""
    return await usage.totals(gateway_id)


@router.get("/artifacts/{sha256}", response_class=FileResponse)
async def get_artifact(sha256: str, blobs: BlobsUse) -> FileResponse:
    """A file by its digest; `Range` is honoured."""
    if not blobs.exists(sha256):
        raise NotFoundError("There is no such file.")
    return FileResponse(blobs.path(sha256), media_type="application/octet-stream")
