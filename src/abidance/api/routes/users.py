"""Users and API tokens. Whoever changes a user proves once more who they are."""

from fastapi import APIRouter

from abidance.api.access import Admin, Confirmed, Judged, Person, Stand, Viewer
from abidance.api.deeds import deed, note
from abidance.api.house import House
from abidance.api.problems import ProblemError, not_found
from abidance.api.schemas.access import (
    NewTokenOut,
    TokenIn,
    TokenOut,
    UserChangeIn,
    UserIn,
    UserOut,
)
from abidance.api.schemas.wire import Done
from abidance.model.errors import about
from abidance.security.passwords import check_password
from abidance.security.roles import Role
from abidance.security.sessions import Token
from abidance.security.users import User

router = APIRouter(tags=["users"], route_class=Judged)


@router.get("/users")
async def list_users(who: Admin, house: Stand) -> list[UserOut]:
    """List the users."""
    return [_shown(each) for each in house.users.all()]


@router.post("/users", status_code=201)
async def add_user(body: UserIn, who: Confirmed, house: Stand) -> UserOut:
    """Add a user."""
    with about("password"):
        check_password(body.password, body.name)
    kept = await house.hashing(house.passwords.hash, body.password)
    with about("name"):
        async with deed(house, who, "user.add", body.name, {"role": body.role.value}):
            house.users.add(body.name, body.password, kept, body.role)
    return _shown(_user(house, body.name))


@router.patch("/users/{name}")
async def change_user(name: str, body: UserChangeIn, who: Confirmed, house: Stand) -> UserOut:
    """Change a user's role, password or second factor, or keep them out; their sessions end.

    With the password or the second factor their API tokens end too: they were made by whoever had the old one.
    """
    before = _user(house, name)
    kept = ""
    if body.password is not None:
        with about("password"):
            check_password(body.password, name)
        kept = await house.hashing(house.passwords.hash, body.password)
    role = before.role if body.role is None else body.role
    changed = {
        "before": {"role": before.role.value, "is_active": before.is_active},
        "after": {
            "role": role.value,
            "is_active": before.is_active if body.is_active is None else body.is_active,
        },
        "password": body.password is not None,
        "totp": body.reset_totp,
    }
    async with deed(house, who, "user.change", before.name, changed):
        # What may be refused comes first, so that all is done or nothing.
        if body.role is not None:
            house.users.set_role(name, body.role)
        if body.is_active is not None:
            house.users.set_active(name, body.is_active)
        if body.password is not None:
            house.users.set_password(name, body.password, kept)
        if body.reset_totp:
            house.users.remove_totp(name)
        if body.password is not None or body.reset_totp:
            house.tokens.end_all(before.name)
        house.sessions.end_all(before.name, who.session.id if who.session and before.name == who.name else "")
    return _shown(_user(house, name))


@router.delete("/users/{name}")
async def remove_user(name: str, who: Confirmed, house: Stand) -> Done:
    """Remove a user with all their sessions and tokens."""
    user = _user(house, name)
    async with deed(house, who, "user.remove", user.name, {"role": user.role.value}):
        house.users.remove(name)
    return Done()


@router.get("/tokens")
async def list_tokens(who: Viewer, house: Stand) -> list[TokenOut]:
    """List API tokens: an admin's list has everybody's, everyone else's their own."""
    return [_token(each) for each in house.tokens.all(None if who.role is Role.ADMIN else who.name)]


@router.post("/tokens", status_code=201)
async def make_token(body: TokenIn, who: Viewer, house: Stand) -> NewTokenOut:
    """Make an API token of one's own; its secret is shown this once. Asks for a proof of the last minutes."""
    if who.session is None or house.now() >= who.session.confirmed_until:
        code = "people" if who.session is None else "confirm"
        raise ProblemError(
            403, "This asks for your password once more.", "POST /api/v1/session/confirm first.", code=code
        )
    if who.role is None or not who.role.covers(body.role):
        told = f"You are no {body.role} yourself."
        raise ProblemError(403, told, "Ask for a lesser role.", code="role", fields={"role": told})
    wanted = {
        "role": body.role.value,
        "days": body.days,
        "scopes": list(body.scopes),
        "addresses": list(body.addresses),
    }
    with about("addresses"):
        async with deed(house, who, "token.make", body.name, wanted):
            secret, token = house.tokens.make(
                who.name, body.name, body.role, body.days, body.addresses, body.scopes
            )
    return NewTokenOut(token=_token(token), secret=secret)


@router.delete("/tokens/{id}")
async def end_token(id: str, who: Person, house: Stand) -> Done:
    """End a token of one's own; an admin may end any."""
    found = house.tokens.get(id)
    if found is None or (found.user != who.name and who.role is not Role.ADMIN):
        raise not_found("token", id)
    await note(house, who, "token.end", id, {"user": found.user, "name": found.name})
    house.tokens.end(id)
    return Done()


def _user(house: House, name: str) -> User:
    found = house.users.get(name)
    if found is None:
        raise not_found("user", name)
    return found


def _shown(user: User) -> UserOut:
    return UserOut(
        name=user.name,
        role=user.role,
        is_active=user.is_active,
        has_totp=user.totp is not None,
        created=int(user.created * 1000),
        last_login=None if user.last_login is None else int(user.last_login * 1000),
    )


def _token(token: Token) -> TokenOut:
    return TokenOut(
        id=token.id,
        name=token.name,
        user=token.user,
        role=token.role,
        addresses=list(token.addresses),
        scopes=list(token.scopes),
        created=int(token.created * 1000),
        expires=int(token.expires * 1000),
        last_used=None if token.last_used is None else int(token.last_used * 1000),
    )
