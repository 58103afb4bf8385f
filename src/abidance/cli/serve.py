"""`abidance serve`: the API and the dashboard over the runs of a user directory, in a process of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli import options, paths
from abidance.cli.data import DEFAULT_USERDIR, UserDir

if TYPE_CHECKING:
    from abidance.api.house import House

EXTRA = "pip install 'abidance[api]'"
GOOD = (
    "It is good once, and as long as this server runs: the next start shows another. "
    "After that, log in with your name and password."
)
"""How long a setup token is good, and what follows."""


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; others than this machine need TLS.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Port to listen at; 0 is any.")
    ] = 8321,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="TLS certificate chain, PEM.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its private key, PEM.")] = None,
    host_name: Annotated[
        list[str] | None, typer.Option("--host-name", help="Name under which it is reached; repeatable.")
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="IP address or network that may come in; repeatable.")
    ] = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="No login: whoever is on this machine may look and steer paper bots."),
    ] = False,
    openapi: Annotated[
        Path | None,
        typer.Option("--openapi", callback=paths.output, help="Write the API's description there and leave."),
    ] = None,
    config: options.Configs = None,
    store: options.Store = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Serve the API and the dashboard: what bots do, and the few orders that may be given to them.

    It follows the bots of the user directory through their journals; they run in processes of their own and trade on
    whether it is there or not. The first start prints a token with which the first admin is made. Ctrl-C ends it.
    """
    from abidance.model.errors import UsageError

    try:
        from abidance.api.app import describe
        from abidance.api.server import Address
        from abidance.api.server import serve as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("abidance"):
            raise
        raise UsageError(
            f"{error.name} is not installed, which serving needs.", f"Install it: {EXTRA}"
        ) from None
    if openapi is not None:
        from abidance.backtest.export import write_whole

        typer.echo(f"The API is described in {write_whole(openapi, describe())}")
        return
    from abidance.run.config import own_files

    address = Address(host, port, certificate, key, tuple(host_name or ()), tuple(allow or ()))
    folder = userdir.expanduser()
    where = options.store_of(userdir, store, config or own_files(folder))
    run(folder, where, address, demo=demo, tell=_tell)


def first_admin(token: str) -> str:
    """Say how the first admin is made; the dashboard says in the same words how long the token is good."""
    return (
        f"Nobody can log in yet. Make the first admin on the dashboard, with this token:\n  {token}\n{GOOD}"
    )


def _tell(house: "House", address: str) -> None:
    from abidance.api.place import is_built

    typer.echo(f"Abidance serves {house.userdir} at {address}  (API: {address}/api/v1/openapi.json)")
    if not is_built():
        typer.echo("The dashboard was not built into this installation: the API is there all the same.")
    if house.demo:
        typer.echo("Demo: no login, for this machine alone.")
    elif house.setup_token:
        typer.echo(first_admin(house.setup_token))
    typer.echo("Ctrl-C ends it; bots trade on.")
