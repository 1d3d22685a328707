"""The page at /, and the files that it loads; none from elsewhere."""

from pathlib import Path

from fastapi import APIRouter, Response

from oneshot.serve.problems import Problem

INDEX = "index.html"

FILES = {path.name: path.read_bytes() for path in (Path(__file__).parents[1] / "page").iterdir()}
"""Read once: no request's path ever becomes a file's."""

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
"""Not the system's: Windows' registry may have others, with which browsers load no script."""

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/{name}")
async def file(name: str = INDEX) -> Response:
    """A file of the page."""
    if name not in FILES:
        raise Problem(404, "there is nothing here; GET / is a page, GET /openapi.json lists the rest")
    return Response(FILES[name], media_type=KINDS[Path(name).suffix])
