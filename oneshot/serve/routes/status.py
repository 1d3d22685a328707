"""How the service is, for those who start, watch and balance it."""

import asyncio

from fastapi import APIRouter, Response

from oneshot.serve.metrics import MEDIA
from oneshot.serve.problems import Problem, responses
from oneshot.serve.routes.access import REFUSED, Reader
from oneshot.serve.schemas import Status
from oneshot.serve.service import Shared

router = APIRouter(tags=["status"])

PATIENCE = 5.0
"""Seconds in which the gallery must answer."""


@router.get("/v1/health")
async def health() -> Status:
    """Whether the process answers at all."""
    return Status(status="ok")


@router.get("/v1/ready", responses=responses(503))
async def ready(service: Shared) -> Status:
    """Whether the network and the gallery answer."""
    if not service.batcher.alive:
        raise Problem(503, "the network has stopped; start the service again")
    try:
        await asyncio.wait_for(service.people.ask(len), PATIENCE)
    except asyncio.TimeoutError:
        raise Problem(503, "the gallery is busy; ask again later") from None
    return Status(status="ready")


@router.get("/metrics", dependencies=[Reader], responses=REFUSED, response_class=Response)
async def metrics(service: Shared) -> Response:
    """Counters in Prometheus' text form."""
    return Response(service.metrics.text(), media_type=MEDIA)
