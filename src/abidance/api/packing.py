"""Which answers are compressed on their way: long lists of what runs and research did, and nothing beside a secret.

An answer that holds a secret and something that others chose, packed together, tells by its length how alike the two
are. So only what lies under the names below is packed: none of it holds a secret of this server or of its users.
"""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

LEAST = 4_096
"""Bytes from which on it is worth the work."""
LEVEL = 3
"""How hard it is tried: half a millisecond for a page of a hundred orders."""
OPEN = frozenset(
    {
        "runs",
        "strategies",
        "bars",
        "data",
        "backtests",
        "searches",
        "studies",
        "verdicts",
        "downloads",
        "jobs",
        "alerts",
    }
)
"""First names under `/api/v1` that are packed."""


class Packing:
    """ASGI middleware; files of the dashboard are packed when it is built (see `pages`)."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = f"{prefix}/"
        self._packing = GZipMiddleware(app, minimum_size=LEAST, compresslevel=LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, its answer packed where that may be."""
        path = scope.get("path", "")
        is_open = (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and path.startswith(self._prefix)
            and path.removeprefix(self._prefix).partition("/")[0] in OPEN
        )
        await (self._packing if is_open else self._app)(scope, receive, send)


__all__ = ["OPEN", "Packing"]
