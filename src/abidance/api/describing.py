"""What the OpenAPI document says of errors: of each operation those that it can answer, by what it takes and who may.

What no rule tells (a venue that fails, a login that is wrong) a route declares itself with `also`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from abidance.api.access import Declared, routes_of
from abidance.api.doorman import SAFE
from abidance.api.problems import MEDIA, TITLES
from abidance.api.schemas.wire import Problem

SHARED: dict[int | str, dict[str, Any]] = {422: {"model": Problem, "description": TITLES[422]}}
"""What the application declares for all routes, so that a problem's schema is in the document once."""
_CONTENT = {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_RESPONSES = {
    f"Problem{status}": {"description": title, "content": _CONTENT} for status, title in TITLES.items()
}


def also(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that can answer with these statuses besides those that the rules tell."""
    return {status: {"description": TITLES[status]} for status in statuses}


class Application(FastAPI):
    """An application whose document names the problems of each operation."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            found = super().openapi()
            found["components"]["responses"] = _RESPONSES
            for route in routes_of(self):
                for method in route.methods:
                    operation = found["paths"].get(route.path, {}).get(method.lower())
                    if operation is not None:
                        _tell(operation, route, method)
        return super().openapi()


def _tell(operation: dict[str, Any], route: Declared, method: str) -> None:
    told = operation["responses"]
    declared = {int(status) for status in told if int(status) >= 400 and status != "422"}
    kept = {status: response for status, response in told.items() if int(status) < 400}
    for status in sorted(declared | set(_statuses(operation, route, method))):
        kept[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    operation["responses"] = kept


def _statuses(operation: Mapping[str, Any], route: Declared, method: str) -> Iterator[int]:
    """Yield the problems that come of who asks, from where, and of what an operation takes."""
    yield from (403, 421, 429)
    if route.needs is not None and route.needs.role is not None:
        yield 401
    if "{" in route.path:
        yield 404
    if "parameters" in operation or "requestBody" in operation:
        yield 422
    if "requestBody" in operation:
        yield 400
    if method not in SAFE:
        yield from (408, 409, 413, 415)


__all__ = ["SHARED", "Application", "also"]
