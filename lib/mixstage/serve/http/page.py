"""The search page at `/`: static files, served from memory."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

_FOLDER = Path(__file__).parents[1] / "static"
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Nothing from elsewhere, no script or style in the markup, no frame around the page; text never becomes markup.
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "cache-control": "no-cache",  # kept, but asked for again: a new release of the page is seen at once
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",  # queries stand in the page's address
    "x-content-type-options": "nosniff",
}


def page_router() -> APIRouter:
    """GET / is the search page, GET /static/{name} what it is made of; open to all: the key is typed into the page.

    The files are read once; their ETags are digests, so that all replicas give the same.
    """
    files = {path.name: path for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}
    bodies = {name: path.read_bytes() for name, path in files.items()}
    tags = {name: f'"{hashlib.sha256(body).hexdigest()[:16]}"' for name, body in bodies.items()}
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def _page(request: Request) -> Response:
        return await _file(request, "index.html")

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def _file(request: Request, name: str) -> Response:
        if name not in bodies:
            raise HTTPException(404, "the search page has no such file")
        headers = {**_HEADERS, "etag": tags[name]}
        if _knows(request.headers.get("if-none-match", ""), tags[name]):
            return Response(status_code=304, headers=headers)
        return Response(bodies[name], media_type=_TYPES[files[name].suffix], headers=headers)

    return router


def _knows(known: str, tag: str) -> bool:
    """Whether an If-None-Match names the tag; a proxy that compresses makes tags weak."""
    return tag in (each.strip().removeprefix("W/") for each in known.split(","))
