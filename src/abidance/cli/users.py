"""`abidance users`: who may log in to `abidance serve`, for whoever sits at this machine. Each deed is audited."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.security.roles import Role

if TYPE_CHECKING:
    from abidance.security.audit import Audit
    from abidance.security.sessions import Sessions, Tokens
    from abidance.security.users import Users

app = typer.Typer(no_args_is_help=True, help="Who may log in to `abidance serve`.")
Name = Annotated[str, typer.Argument(help="The user's name.")]
RoleOption = Annotated[Role, typer.Option("--role", help="viewer looks, operator steers, admin rules.")]


@app.command("list")
def list_users(userdir: UserDir = DEFAULT_USERDIR) -> None:
    """List the users."""
    users, _, _, _ = _open(userdir)
    for each in users.all():
        state = "" if each.is_active else "  kept out"
        typer.echo(f"{each.name:<24} {each.role:<9} {'2FA' if each.totp else '   '}{state}")


@app.command("add")
def add_user(name: Name, role: RoleOption = Role.VIEWER, userdir: UserDir = DEFAULT_USERDIR) -> None:
    """Add a user; the password is asked for, twice."""
    users, _, _, audit = _open(userdir)
    password = _asked()
    users.add(name, password, _kept(password), role)
    audit.write(_actor(), "user.add", name, {"role": role.value})
    typer.echo(f"{name} may log in as {role}.")


@app.command("password")
def set_password(name: Name, userdir: UserDir = DEFAULT_USERDIR) -> None:
    """Give a user another password; their sessions and API tokens end."""
    users, sessions, tokens, audit = _open(userdir)
    _known(users, name)
    password = _asked()
    users.set_password(name, password, _kept(password))
    sessions.end_all(name)
    tokens.end_all(name)
    audit.write(_actor(), "password.change", name)
    typer.echo(f"{name} has another password.")


@app.command("role")
def set_role(name: Name, role: Annotated[Role, typer.Argument()], userdir: UserDir = DEFAULT_USERDIR) -> None:
    """Give a user another role; their sessions end."""
    users, sessions, _, audit = _open(userdir)
    users.set_role(name, role)
    sessions.end_all(name)
    audit.write(_actor(), "user.change", name, {"role": role.value})
    typer.echo(f"{name} is {role} now.")


@app.command("reset-2fa")
def reset_second_factor(name: Name, userdir: UserDir = DEFAULT_USERDIR) -> None:
    """Let a user in without the second factor, as when a phone is lost; their sessions and API tokens end."""
    users, sessions, tokens, audit = _open(userdir)
    _known(users, name)
    users.remove_totp(name)
    sessions.end_all(name)
    tokens.end_all(name)
    audit.write(_actor(), "totp.off", name)
    typer.echo(f"{name} comes in with the password alone until they set up a second factor anew.")


@app.command("remove")
def remove_user(name: Name, userdir: UserDir = DEFAULT_USERDIR) -> None:
    """Remove a user with all sessions and tokens."""
    users, _, _, audit = _open(userdir)
    _known(users, name)
    users.remove(name)
    audit.write(_actor(), "user.remove", name)
    typer.echo(f"{name} is gone.")


def _open(userdir: Path) -> "tuple[Users, Sessions, Tokens, Audit]":
    from abidance.security.audit import AUDIT, Audit
    from abidance.security.database import USERS, open_database
    from abidance.security.sessions import Sessions, Tokens
    from abidance.security.users import Users

    folder = userdir.expanduser()
    database = open_database(folder / USERS)
    return Users(database), Sessions(database), Tokens(database), Audit(folder / AUDIT)


def _known(users: "Users", name: str) -> None:
    from abidance.model.errors import UsageError

    if users.get(name) is None:
        raise UsageError(f"There is no user {name}.", "`abidance users list` shows them.")


def _asked() -> str:
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _kept(password: str) -> str:
    from abidance.model.errors import UsageError
    from abidance.security.passwords import Passwords

    try:
        return Passwords().hash(password)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed, which passwords need.", "Install it: pip install 'abidance[api]'"
        ) from None


def _actor() -> str:
    return f"{getpass.getuser()} (terminal)"
