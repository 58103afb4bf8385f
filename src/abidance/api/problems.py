"""Errors as RFC 9457 problems: what was found, what to do, and which field is meant. Never a traceback."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from abidance.api.schemas.wire import FORMS, FieldProblem, Problem
from abidance.kernel.log import logger
from abidance.model.errors import (
    AbidanceError,
    ConfigError,
    DataError,
    InvariantError,
    JournalError,
    StrategyError,
    UsageError,
    VenueError,
)
from abidance.run.sources import COMMAND_LINE

MEDIA = "application/problem+json"
_STATUS: Mapping[type[AbidanceError], int] = {
    UsageError: 422,
    ConfigError: 422,
    StrategyError: 422,
    DataError: 422,
    JournalError: 409,
    VenueError: 502,
    InvariantError: 500,
}
TITLES = {
    400: "Malformed request",
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Not possible now",
    413: "Too large",
    415: "Not JSON",
    421: "Wrong host",
    422: "Does not fit",
    429: "Too many requests",
    500: "A defect of the program",
    502: "The venue failed",
    503: "Not ready",
}
"""What each status means here."""
LONGEST, LONGEST_REMEDY = 600, 2_400
"""Characters of a text in a problem: of what somebody sent no more is sent back. A remedy may hold the last words of a
process that did not start."""
MOST_FIELDS = 50
_LEFT_OUT = " … "
_EMPTY = "Fill this in."
_UNREAD = "The body cannot be read."
_JSON = "Send JSON as UTF-8, with quotes around names and text, and not nested a hundred deep."
_SAID = {
    "missing": _EMPTY,
    "string_too_short": "Write {min_length} characters or more.",
    "string_too_long": "Write {max_length} characters at most.",
    "too_short": "Name {min_length} or more.",
    "too_long": "Name {max_length} at most.",
    "greater_than": "It must be above {gt}.",
    "greater_than_equal": "It must be {ge} or more.",
    "less_than": "It must be below {lt}.",
    "less_than_equal": "It must be {le} or less.",
    "decimal_max_digits": "Write {max_digits} digits at most.",
    "decimal_max_places": "Write {decimal_places} digits behind the point at most.",
    "decimal_whole_digits": "Write {whole_digits} digits before the point at most.",
    "literal_error": "Choose {expected}.",
    "enum": "Choose {expected}.",
    "int_from_float": "Write a whole number.",
} | dict.fromkeys(
    (
        "decimal_parsing",
        "decimal_type",
        "float_parsing",
        "float_type",
        "int_parsing",
        "int_type",
        "finite_number",
    ),
    "Write a number.",
)
"""What is said of a field that does not fit, by what Pydantic calls it; what it alone knows stands in braces."""


class ProblemError(Exception):
    """A refusal of a request, as it is to be told; `fields` says of fields of the request what is wrong with each."""

    def __init__(
        self,
        status: int,
        detail: str,
        remedy: str = "",
        *,
        code: str = "",
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.remedy, self.code = status, detail, remedy, code
        self.fields = fields or {}
        self.headers = headers or {}


def not_found(what: str, name: str, remedy: str = "") -> ProblemError:
    """Return the refusal of something that is not there."""
    return ProblemError(404, f"There is no {what} {name!r}.", remedy, code="not_found")


def respond(
    status: int,
    detail: str,
    remedy: str = "",
    *,
    code: str = "",
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
    request_id: str = "",
) -> Response:
    """Return a problem as a response; of longer texts than `LONGEST` the middle is left out."""
    problem = Problem(
        title=TITLES.get(status, "Error"),
        status=status,
        detail=_cut(detail),
        remedy=_cut(remedy, LONGEST_REMEDY),
        code=code,
        errors=[
            FieldProblem(field=_cut(each.field), message=_cut(each.message))
            for each in (errors or [])[:MOST_FIELDS]
        ],
        request_id=request_id,
    )
    return JSONResponse(problem.model_dump(), status, dict(headers or {}), MEDIA)


def _cut(text: str, most: int = LONGEST) -> str:
    """Return a text without its middle where it is too long: what was found stands first, and what there is last."""
    if len(text) <= most:
        return text
    half = (most - len(_LEFT_OUT)) // 2
    return f"{text[:half]}{_LEFT_OUT}{text[-half:]}"


def install(app: FastAPI) -> None:
    """Let every error of `app` become a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_misfit)
    app.add_exception_handler(AbidanceError, _on_ours)
    app.add_exception_handler(Exception, _on_defect)


def _id(request: Request) -> str:
    return str(request.scope.get("abidance.request_id", ""))


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return respond(
        error.status,
        error.detail,
        error.remedy,
        code=error.code,
        errors=[FieldProblem(field=name, message=told) for name, told in error.fields.items()],
        headers=error.headers,
        request_id=_id(request),
    )


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # what else is malformed is told by its field
        return respond(400, _UNREAD, _JSON, headers=error.headers, request_id=_id(request))
    found = f"There is nothing at {request.url.path}." if error.status_code == 404 else str(error.detail)
    return respond(error.status_code, found, headers=error.headers, request_id=_id(request))


async def _on_misfit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldProblem(
            field=_field(each),
            message=_said(each),
        )
        for each in error.errors()
    ]
    told = "; ".join(f"{each.field}: {each.message}" for each in errors[:3])
    return respond(422, told, "Mend the fields that are named.", errors=errors, request_id=_id(request))


def _field(flaw: Mapping[str, Any]) -> str:
    """Return which field is meant; `body` where it cannot be read, and so has none."""
    parts = () if flaw["type"] == "json_invalid" else flaw["loc"][1:]
    return ".".join(str(part) for part in parts) or str(flaw["loc"][0])


def _said(flaw: Mapping[str, Any]) -> str:
    """Return what is wrong with a field as a person reads it."""
    if flaw["type"] == "json_invalid":
        return f"It is no JSON from character {flaw['loc'][-1]} on. {_JSON}"
    if flaw.get("input") in ("", None, []) and flaw["type"] != "extra_forbidden":
        return _EMPTY
    known = flaw.get("ctx", {})
    if said := FORMS.get(known.get("pattern", "")):
        return said
    plain = {name: f"{value:.15g}" if isinstance(value, float) else value for name, value in known.items()}
    return _SAID[flaw["type"]].format_map(plain) if flaw["type"] in _SAID else str(flaw["msg"])


async def _on_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, AbidanceError)
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 409)
    if status == 500:
        return await _on_defect(request, error)
    errors = [
        FieldProblem(field=name, message=_without_place(told)) for name, told in error.fields.items() if name
    ]
    found = _without_place(error.found.partition("\n")[0] if len(errors) > 1 else error.found)
    return respond(status, found, error.remedy, errors=errors, request_id=_id(request))


def _without_place(text: str) -> str:
    """Return what was found without where: a request has no other place than itself."""
    return text.replace(f" ({COMMAND_LINE})", "")


async def _on_defect(request: Request, error: Exception) -> Response:
    logger("api").error("defect", path=request.url.path, request_id=_id(request), exc_info=error)
    remedy = "Please report it, with the lines of the log that bear this request id."
    return respond(
        500, f"This is a defect of the program ({type(error).__name__}).", remedy, request_id=_id(request)
    )


__all__ = ["MEDIA", "TITLES", "ProblemError", "install", "not_found", "respond"]
