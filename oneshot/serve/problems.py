"""What goes wrong as application/problem+json (RFC 9457): one sentence each, as on the command line."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from oneshot.errors import OneShotError, StorageError

MEDIA = "application/problem+json"


class Problem(HTTPException):
    """An answer that is an error.

    Args:
        status: HTTP's number.
        detail: one sentence with the remedy.
        headers: more of the answer's.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None):
        super().__init__(status, detail, headers)


class ProblemAnswer(BaseModel):
    """How an error is said.

    Attributes:
        title: what HTTP calls the status.
        detail: one sentence with the remedy.
        request_id: by which the log knows the request.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "party.jpg: not a picture that can be read, or a damaged one; "
                    "convert or fetch it again",
                    "request_id": "5f0c1b6f0c8f4d5f9d1c7b0e9d3a2f11",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    request_id: str


def answer(
    status: int, detail: str, request_id: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error as an answer."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    return JSONResponse(body, status, headers, MEDIA)


def install(app: FastAPI) -> None:
    """Have an app say all its errors so."""

    @app.exception_handler(HTTPException)
    async def said(request: Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, str(error.detail), request.state.request_id, error.headers)

    @app.exception_handler(OneShotError)
    async def refused(request: Request, error: OneShotError) -> JSONResponse:
        status = HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, StorageError) else 422
        return answer(status, str(error), request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        detail = f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        return answer(422, detail, request.state.request_id)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's entries for errors of these numbers."""
    schema = {"$ref": "#/components/schemas/ProblemAnswer"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA: {"schema": schema}}}
        for status in statuses
    }
