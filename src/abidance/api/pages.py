"""The built dashboard's files, and a page that says so where it was not built.

Files under `assets/` bear a hash in their name and are kept by browsers for good; every other path that is no file is
a page of the dashboard itself, so that its addresses can be shared. The build leaves packed twins beside large files
(`app.js.br`, `app.js.gz`), which go to whoever can unpack them.
"""

from mimetypes import guess_type
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Receive, Scope, Send

from abidance.api.problems import respond

_MISSING = (
    "The dashboard was not built into this installation.\n\n"
    "The API is here all the same: /api/v1/openapi.json describes it, docs/api.md explains it.\n"
    "To build the dashboard from a clone with Node installed: make web\n"
)
_FOREVER = "public, max-age=31536000, immutable"
_PACKED = {"br": ".br", "gzip": ".gz"}
"""What a twin of a file is packed with, the smallest first, and how its name ends."""


class Pages:
    """Serves the files of a folder (an ASGI application)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._static = StaticFiles(directory=folder, check_dir=False)

    @property
    def is_built(self) -> bool:
        """Say whether there is a dashboard."""
        return (self._folder / "index.html").is_file()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a file."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 4404, "reason": "nothing here"})
            return
        await self._response(scope)(scope, receive, send)

    def _response(self, scope: Scope) -> Response:
        path = scope["path"]
        if path.startswith("/api/"):
            return respond(
                404, f"There is nothing at {path[:200]}.", request_id=scope.get("abidance.request_id", "")
            )
        if scope["method"] not in ("GET", "HEAD"):
            return respond(405, "Pages can only be read.", headers={"Allow": "GET, HEAD"})
        if not self.is_built:
            return PlainTextResponse(_MISSING, 200 if path == "/" else 404)
        try:
            wanted = (self._folder / path.lstrip("/")).resolve()
            is_file = wanted.is_relative_to(self._folder) and wanted.is_file()
        except (OSError, ValueError):
            wanted, is_file = self._folder, False
        if is_file and wanted.name != "index.html":
            kept = _FOREVER if wanted.parent.name == "assets" else "no-cache"
            return self._file(wanted, kept, Headers(scope=scope))
        if path.startswith("/assets/"):
            return respond(404, f"There is nothing at {path[:200]}.")
        return self._file(self._folder / "index.html", "no-cache", Headers(scope=scope))

    def _file(self, wanted: Path, kept: str, asked: Headers) -> Response:
        """Answer with a file or its packed twin, or say that the one which the browser has is still right."""
        headers = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
        found = wanted
        for coding, ending in _PACKED.items():
            twin = wanted.with_name(wanted.name + ending)
            if coding in taken(asked.get("accept-encoding", "")) and twin.is_file():
                found, headers["Content-Encoding"] = twin, coding
                break
        media = guess_type(wanted.name)[0] or "application/octet-stream"
        response = FileResponse(found, headers=headers, media_type=media, stat_result=found.stat())
        if self._static.is_not_modified(response.headers, asked):
            return NotModifiedResponse(response.headers)
        return response


def taken(header: str) -> set[str]:
    """Return the codings that an Accept-Encoding header takes: those that are named, and not with a weight of none."""
    found = set()
    for each in header.lower().split(","):
        coding, _, weight = each.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            found.add(coding.strip())
    return found


__all__ = ["Pages"]
