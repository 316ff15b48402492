"""The console's static files, with the single page for every address that is no file."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

_RESERVED = ("api/", "internal/", "healthz", "readyz")
_IMMUTABLE = "public, max-age=31536000, immutable"


def serve_console(app: FastAPI, directory: Path) -> None:
    """Adds the catch-all route; call it after all other routes."""
    root = directory.resolve()

    @app.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def console(path: str, request: Request) -> Response:
        if path.startswith(_RESERVED):
            raise HTTPException(404, "Not Found")
        file = (root / path).resolve()
        if path and file.is_relative_to(root) and file.is_file():
            # The build puts a digest of the content into the names under assets/.
            cache = _IMMUTABLE if path.startswith("assets/") else "no-cache"
            return FileResponse(file, headers={"Cache-Control": cache})
        if path.startswith("assets/"):
            raise HTTPException(404, "Not Found")
        return FileResponse(root / "index.html", headers={"Cache-Control": "no-cache"})
