"""Coming in and going out: first setup, login, proof, second factor, one's own sessions."""

import hmac

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from abidance import __version__
from abidance.api.access import COOKIE, Anyone, Identity, Judged, Person, Stand, Viewer, ViewerOrNobody
from abidance.api.deeds import deed, note, note_anyway
from abidance.api.describing import also
from abidance.api.house import House
from abidance.api.problems import ProblemError, not_found
from abidance.api.schemas.access import (
    CodeIn,
    ConfirmIn,
    LoginIn,
    MeOut,
    PasswordIn,
    RecoveryOut,
    SessionOut,
    SetupIn,
    SetupOut,
    TotpOut,
)
from abidance.api.schemas.wire import Done
from abidance.model.errors import about
from abidance.security.passwords import check_password
from abidance.security.roles import Role
from abidance.security.sessions import ABSOLUTE, Session
from abidance.security.throttle import place_of
from abidance.security.users import User

router = APIRouter(tags=["session"], route_class=Judged)


@router.get("/setup")
async def get_setup(who: Anyone, house: Stand) -> SetupOut:
    """Say whether the first admin is still to be made."""
    return SetupOut(needed=house.users.is_empty and not house.demo)


@router.post("/setup", status_code=201)
async def make_first_admin(
    body: SetupIn, who: Anyone, house: Stand, response: Response, request: Request
) -> MeOut:
    """Make the first admin with the token that was printed in the terminal, and let them in."""
    key = f"setup {place_of(who.address)}"
    _hold(house, key)
    if not house.users.is_empty:
        raise ProblemError(409, "The first admin was made already.", "Log in.")
    house.throttle.failed(key)
    if not house.setup_token or not hmac.compare_digest(body.token.encode(), house.setup_token.encode()):
        told, remedy = "That is not the setup token.", "Copy it from the terminal of this server."
        raise ProblemError(403, told, remedy, fields={"token": f"{told} {remedy}"})
    with about("password"):
        check_password(body.password, body.name)
    kept = await house.hashing(house.passwords.hash, body.password)
    async with deed(house, who, "user.first", body.name, by=body.name):
        house.users.add_first(body.name, body.password, kept)
    house.setup_token = ""
    house.throttle.succeeded(key)
    return _let_in(house, who, body.name, request, response)


@router.post("/session", status_code=201, responses=also(401))
async def log_in(body: LoginIn, who: Anyone, house: Stand, response: Response, request: Request) -> MeOut:
    """Log in. A wrong name, password or code get one and the same answer."""
    account, place = body.name.casefold(), place_of(who.address)
    keys = (f"{account} {place}", place)
    _hold(house, *keys)
    _refuse_haste(house.strangers.take(account, place))
    house.throttle.failed(*keys)
    wrong = ProblemError(401, "Name, password or code are wrong.", "Try again.", code="login")
    if not await _proven(house, house.users.get(body.name), body.password, body.code):
        await note(house, who, "login.failed", body.name[:64], by="")
        raise wrong
    user = house.users.get(body.name)
    assert user is not None
    await note(house, who, "login", user.name, by=user.name)
    if not _is_as_before(house, user):
        raise wrong
    house.throttle.succeeded(keys[0])
    house.throttle.forgive(place)
    house.strangers.came_in(account, place)
    house.users.note_login(user.name)
    if who.session is not None:
        house.sessions.end(who.session.id)
    return _let_in(house, who, user.name, request, response)


@router.get("/session")
async def get_me(who: ViewerOrNobody, house: Stand) -> MeOut | None:
    """Tell who is asking; null is nobody, which is no error: a page asks before it shows where to log in."""
    return None if who.role is None else _me(house, who.name, who.role, who.kind, who.session)


@router.delete("/session")
async def log_out(who: Viewer, house: Stand, response: Response) -> Done:
    """End this session."""
    if who.session is not None:
        await note_anyway(house, who, "logout", who.name)
        house.sessions.end(who.session.id)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return Done()


@router.post("/session/confirm")
async def confirm(body: ConfirmIn, who: Viewer, house: Stand, response: Response, request: Request) -> MeOut:
    """Prove once more that it is you; grave deeds are open for five minutes."""
    session = _person(who)
    place = place_of(who.address)
    keys = (f"{who.name.casefold()} {place}", place)
    _hold(house, *keys)
    house.throttle.failed(*keys)
    if not await _proven(house, house.users.get(who.name), body.password, body.code):
        await note(house, who, "confirm.failed", who.name)
        told = "Password or code are wrong."
        raise ProblemError(403, told, "Try again.", code="confirm", fields={"password": told})
    await note(house, who, "confirm", who.name)
    house.throttle.succeeded(keys[0])
    house.throttle.forgive(place)
    _give(response, house.sessions.renew(request.cookies[COOKIE], confirmed=True))
    found = house.sessions.get(session.id)
    return _me(house, who.name, session.role, "session", found)


@router.put("/session/password")
async def change_password(body: PasswordIn, who: Viewer, house: Stand) -> Done:
    """Choose another password; all other sessions end, and API tokens too unless they are to be kept.

    Asks for a proof of the last minutes.
    """
    session = _fresh(house, who)
    kept = await house.hashing(house.passwords.hash, body.password)
    with about("password"):
        async with deed(house, who, "password.change", who.name, {"keep_tokens": body.keep_tokens}):
            house.users.set_password(who.name, body.password, kept)
            house.sessions.end_all(who.name, session.id)
            if not body.keep_tokens:
                house.tokens.end_all(who.name)
    return Done()


@router.post("/session/totp")
async def begin_totp(who: Viewer, house: Stand) -> TotpOut:
    """Begin a second factor: scan the address with an app, then confirm a code of it."""
    import pyotp

    _fresh(house, who)
    async with deed(house, who, "totp.begin", who.name):
        secret = house.users.begin_totp(who.name)
    return TotpOut(
        secret=secret, uri=pyotp.TOTP(secret).provisioning_uri(name=who.name, issuer_name="Abidance")
    )


@router.put("/session/totp")
async def confirm_totp(
    body: CodeIn, who: Viewer, house: Stand, response: Response, request: Request
) -> RecoveryOut:
    """Let the second factor count from now on; the recovery codes are shown this once."""
    session, key = _fresh(house, who), f"totp {who.name.casefold()}"
    _hold(house, key)
    house.throttle.failed(key)
    with about("code"):
        async with deed(house, who, "totp.on", who.name):
            codes = house.users.confirm_totp(who.name, body.code)
    house.throttle.succeeded(key)
    house.sessions.end_all(who.name, session.id)
    _give(response, house.sessions.renew(request.cookies[COOKIE], confirmed=True))
    return RecoveryOut(codes=codes)


@router.delete("/session/totp")
async def remove_totp(who: Viewer, house: Stand) -> Done:
    """Do without a second factor again."""
    _fresh(house, who)
    await note(house, who, "totp.off", who.name)
    house.users.remove_totp(who.name)
    return Done()


@router.get("/sessions")
async def list_sessions(who: Viewer, house: Stand) -> list[SessionOut]:
    """List sessions: an admin's list has everybody's, everyone else's their own."""
    own = who.session.id if who.session is not None else ""
    found = house.sessions.all(None if who.role is Role.ADMIN else who.name)
    return [
        SessionOut(
            id=each.id,
            user=each.user,
            address=each.address,
            agent=each.agent,
            created=int(each.created * 1000),
            seen=int(each.seen * 1000),
            expires=int(each.expires * 1000),
            is_mine=each.id == own,
        )
        for each in found
    ]


@router.delete("/sessions/{id}")
async def end_session(id: str, who: Person, house: Stand) -> Done:
    """End a session of one's own; an admin may end any."""
    found = house.sessions.get(id)
    if found is None or (found.user != who.name and who.role is not Role.ADMIN):
        raise not_found("session", id)
    await note(house, who, "session.end", found.user)
    house.sessions.end(id)
    return Done()


async def _proven(house: House, user: User | None, password: str, code: str) -> bool:
    """Say whether password and second factor fit; takes as long for somebody who does not exist."""
    is_right, fresh = await house.hashing(house.passwords.verify, password, user.password if user else None)
    if user is None or not is_right or not _is_as_before(house, user):
        return False
    if not house.users.take_second(user.name, code):
        return False
    if fresh is not None:
        house.users.refresh(user.name, fresh)
    return True


def _is_as_before(house: House, user: User) -> bool:
    """Say whether somebody may come in still by the password that was looked at: others go on while it is."""
    now = house.users.get(user.name)
    return now is not None and now.is_active and now.password == user.password


def _hold(house: House, *keys: str) -> None:
    """Refuse a try that comes too soon after others failed."""
    _refuse_haste(house.throttle.wait(*keys))


def _refuse_haste(wait: float) -> None:
    if wait:
        seconds = str(max(1, round(wait)))
        raise ProblemError(
            429, "Too many tries.", f"Wait {seconds} s.", code="throttled", headers={"Retry-After": seconds}
        )


def _person(who: Identity) -> Session:
    if who.session is None:
        raise ProblemError(
            403, "This is for people who are logged in.", "Log in with a browser.", code="people"
        )
    return who.session


def _fresh(house: House, who: Identity) -> Session:
    session = _person(who)
    if house.now() >= session.confirmed_until:
        raise ProblemError(
            403,
            "This asks for your password once more.",
            "POST /api/v1/session/confirm first.",
            code="confirm",
        )
    return session


def _let_in(house: House, who: Identity, name: str, request: Request, response: Response) -> MeOut:
    secret = house.sessions.open(name, who.address, request.headers.get("user-agent", ""))
    _give(response, secret)
    session = house.sessions.find(secret)
    assert session is not None
    return _me(house, session.user, session.role, "session", session)


def _give(response: Response, secret: str) -> None:
    response.set_cookie(
        COOKIE, secret, max_age=ABSOLUTE, path="/", secure=True, httponly=True, samesite="strict"
    )


def _me(house: House, name: str, role: Role, kind: str, session: Session | None) -> MeOut:
    user = house.users.get(name)
    return MeOut(
        name=name,
        role=role,
        kind=kind,
        has_totp=user is not None and user.totp is not None,
        confirmed_until=None if session is None else int(session.confirmed_until * 1000),
        expires=None if session is None else int(session.expires * 1000),
        version=__version__,
        demo=house.demo,
    )
