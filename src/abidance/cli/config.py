"""`abidance new-config` and `abidance show-config`: write a configuration to begin with, show the one that holds."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir

if TYPE_CHECKING:
    from abidance.run.config import Loaded

Files = Annotated[
    list[Path] | None, typer.Option("-c", "--config", help="TOML file; repeatable, the last wins.")
]


def new_config(
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Write a commented configuration file to begin with."""
    from abidance.backtest.export import write_whole
    from abidance.model.errors import UsageError
    from abidance.run.config import FILE_NAME, template

    path = userdir.expanduser() / FILE_NAME
    if path.exists() and not force:
        raise UsageError(f"There is a configuration file {path}.", "Edit it, or replace it with --force.")
    write_whole(path, template().encode())
    typer.echo(f"Wrote {path}")
    typer.echo(f"Next: abidance backtest -c {path}")


def show_config(
    config: Files = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of configuration files.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print values and sources as JSON.")] = False,
) -> None:
    """Show every setting that holds, and where it was given."""
    from abidance.run import config as settings

    if schema:
        typer.echo(json.dumps(settings.schema(), indent=2, ensure_ascii=False))
        return
    shown = settings_shown(settings.trace(config or [], {}, os.environ))
    if as_json:
        typer.echo(json.dumps({name: {"value": v, "source": s} for name, (v, s) in shown.items()}, indent=2))
        return
    from abidance.run.reference import toml

    for name, (value, source) in shown.items():
        typer.echo(f"{name} = {toml(value)}  # {source}")


def settings_shown(loaded: "Loaded") -> dict[str, tuple[Any, str]]:
    """Return every setting of the resolved run with its value and source; secrets are hidden."""
    from abidance.kernel.log import HIDDEN, PROCESS, is_secret_name
    from abidance.run.sources import leaves, shown

    given = {shown(key): value for key, value in leaves(loaded.config.model_dump(mode="json"))}
    found: dict[str, tuple[Any, str]] = {}
    # These are no part of what is recorded of a run; a password may stand in their URLs.
    for name in ("store", "lease"):
        found[name] = (PROCESS.text(getattr(loaded.config, name)), loaded.sources.get(name, "default"))
    for key, value in leaves(loaded.config.resolved().model_dump(mode="json")):
        name = shown(key)
        derived = "derived" if given.get(name, value) != value or name not in given else "default"
        hidden = any(is_secret_name(str(part)) for part in key)
        found[name] = (HIDDEN if hidden else value, loaded.sources.get(name, derived))
    return found
