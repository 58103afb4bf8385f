"""Who asks, and whether they may: each route declares the role that it takes, and nothing is allowed by default.

A browser shows its session's cookie, a program its token. Grave deeds also ask for a proof of the last minutes.
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope as Asked

from abidance.api.doorman import address_of
from abidance.api.house import House
from abidance.api.problems import ProblemError
from abidance.model.errors import InvariantError
from abidance.security.roles import Role, Scope
from abidance.security.sessions import Session

COOKIE = "__Host-abidance"
AWAY = "x-abidance-away"
"""A header of what a page asks for by itself while nobody is at it: that does not count as use of its session."""


class Identity(NamedTuple):
    """Who asks: a name, a role, and how they came in (`session`, `token`, `demo` or `nobody`)."""

    name: str
    role: Role | None
    kind: str
    address: str
    request_id: str
    session: Session | None = None
    token_id: str = ""
    scopes: tuple[Scope, ...] = ()
    """What a token is held to; nothing is all that its role may."""

    def lasts(self, house: House) -> bool:
        """Say whether they would still be let in, with no less than before."""
        if self.kind == "session":
            assert self.session is not None
            found = house.sessions.get(self.session.id)
            return found is not None and found.role == self.role
        if self.kind == "token":
            token = house.tokens.get(self.token_id)
            return token is not None and token.role == self.role
        return self.kind == "demo"


def house_of(connection: HTTPConnection) -> House:
    """Return what the application stands on."""
    found: House = connection.app.state.house
    return found


async def _stand(connection: HTTPConnection) -> House:
    """Return what the application stands on, as a dependency: a plain function would cost each request a thread."""
    return house_of(connection)


def identify(connection: HTTPConnection) -> Identity:
    """Return who asks; a token is looked at before a cookie, and whoever shows neither is nobody."""
    house, address = house_of(connection), address_of(connection.scope)
    request_id = str(connection.scope.get("abidance.request_id", ""))
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = house.tokens.find(secret.strip(), address)
        if token is not None:
            return Identity(
                token.user, token.role, "token", address, request_id, None, token.id, token.scopes
            )
        return Identity("", None, "nobody", address, request_id)
    cookie = connection.cookies.get(COOKIE)
    is_used = AWAY not in connection.headers
    session = house.sessions.find(cookie, is_used=is_used) if cookie else None
    if session is not None:
        return Identity(session.user, session.role, "session", address, request_id, session)
    if house.demo and address in ("127.0.0.1", "::1"):
        return Identity("demo", Role.OPERATOR, "demo", address, request_id)
    return Identity("", None, "nobody", address, request_id)


def known_as(scope: Asked) -> str:
    """Return by what a request is known: the name of its session or token, `demo`, empty for a stranger's."""
    who = identify(HTTPConnection(scope))
    if who.kind == "demo":
        return who.kind
    return who.token_id if who.session is None else who.session.id


class Needs:
    """What a route takes: a role, or anybody at all (None), and of a token that part of its role (None: no token may).

    `confirmed` asks for a proof of the last minutes too; `steers` says that the deed is about one run, so that the
    demo, which has paper runs alone (`steering` sees to it), may do it as well. `or_nobody` lets in whoever shows
    nothing that is known, too: the route has to tell them nothing.
    """

    def __init__(
        self,
        role: Role | None,
        scope: Scope | None = None,
        *,
        confirmed: bool = False,
        steers: bool = False,
        or_nobody: bool = False,
    ) -> None:
        self.role = role
        self.scope = scope
        self.confirmed = confirmed
        self.steers = steers
        self.or_nobody = or_nobody

    async def __call__(self, connection: HTTPConnection) -> Identity:
        """Return who asks. Raises ProblemError (401, 403) when they may not."""
        who = identify(connection)
        if self.role is not None and who.role is None:
            has_token = "authorization" in connection.headers
            if self.or_nobody and not has_token:
                return who
            told = "The token opens nothing." if has_token else "Nobody is logged in."
            raise ProblemError(401, told, "Log in, or send a token that lasts.", code="login")
        self.allow(house_of(connection), who)
        return who

    def allow(self, house: House, who: Identity) -> None:
        """Raise ProblemError (403) when somebody may not. A token has no fresh proof: grave deeds are for people."""
        if self.role is None or (self.steers and who.kind == "demo"):
            return
        if who.role is None or not who.role.covers(self.role):
            told = f"This takes the role {self.role}, and {who.name or 'nobody'} is {who.role or 'not logged in'}."
            raise ProblemError(403, told, "Ask an admin.", code="role")
        if who.session is None and (self.confirmed or (self.scope is None and who.kind == "token")):
            raise ProblemError(
                403, "This is for people, not for tokens.", "Log in with a browser.", code="people"
            )
        if who.scopes and self.scope not in who.scopes:
            told = f"This takes a token for {self.scope}, and this one is for {', '.join(who.scopes)}."
            raise ProblemError(403, told, "Make a token for it.", code="scope")
        if self.confirmed and who.session is not None and house.now() >= who.session.confirmed_until:
            raise ProblemError(
                403,
                "This asks for your password once more.",
                "POST /api/v1/session/confirm first.",
                code="confirm",
            )


Anyone = Annotated[Identity, Depends(Needs(None))]
Viewer = Annotated[Identity, Depends(Needs(Role.VIEWER, Scope.READ))]
ViewerOrNobody = Annotated[Identity, Depends(Needs(Role.VIEWER, Scope.READ, or_nobody=True))]
Scraper = Annotated[Identity, Depends(Needs(Role.VIEWER, Scope.METRICS))]
Person = Annotated[Identity, Depends(Needs(Role.VIEWER))]
Operator = Annotated[Identity, Depends(Needs(Role.OPERATOR, Scope.TRADE))]
Researcher = Annotated[Identity, Depends(Needs(Role.OPERATOR, Scope.RESEARCH))]
Admin = Annotated[Identity, Depends(Needs(Role.ADMIN, Scope.MANAGE))]
Confirmed = Annotated[Identity, Depends(Needs(Role.ADMIN, confirmed=True))]
Grave = Annotated[Identity, Depends(Needs(Role.ADMIN, confirmed=True, steers=True))]
Stand = Annotated[House, Depends(_stand)]


class Judged(APIRoute):
    """A route that looks at who asks before it reads what they send: a stranger's body is parsed by nobody."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer, needs = super().get_route_handler(), _needs(self)
        if needs is None or self.body_field is None:  # nothing is read before the declared role is asked
            return answer

        async def judged(request: Request) -> Response:
            await needs(request)
            return await answer(request)

        return judged


class Declared(NamedTuple):
    """One route of ours, and who may take it (None: it does not say)."""

    path: str
    methods: frozenset[str]
    needs: Needs | None


def routes_of(app: FastAPI) -> Iterator[Declared]:
    """Yield every route that runs code of ours, WebSockets included; these have no methods."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute | APIWebSocketRoute):
            yield Declared(
                context.path or route.path, frozenset(getattr(route, "methods", ())), _needs(route)
            )


def check_declared(app: FastAPI) -> None:
    """Raise InvariantError when a route does not say who may take it or judges it late, or when there is none."""
    found = list(routes_of(app))
    if not found:
        raise InvariantError("The application has no routes.")
    for route in found:
        if route.needs is None:
            raise InvariantError(f"The route {route.path} declares no role.")
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute) and not isinstance(context.original_route, Judged):
            raise InvariantError(f"The route {context.path} reads a body before it knows who asks.")


def _needs(route: APIRoute | APIWebSocketRoute) -> Needs | None:
    return next((call for call in _calls(route.dependant) if isinstance(call, Needs)), None)


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for each in dependant.dependencies:
        yield from _calls(each)


__all__ = [
    "COOKIE",
    "Admin",
    "Anyone",
    "Confirmed",
    "Declared",
    "Grave",
    "Identity",
    "Judged",
    "Needs",
    "Operator",
    "Person",
    "Researcher",
    "Scraper",
    "Stand",
    "Viewer",
    "ViewerOrNobody",
    "check_declared",
    "house_of",
    "identify",
    "known_as",
    "routes_of",
]
