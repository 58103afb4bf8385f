"""`abidance audit`: who did what over the API or at this machine, and whether that record is whole."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.terminal import visible

app = typer.Typer(no_args_is_help=True, help="Who did what, and whether that record is whole.")


@app.command("verify")
def verify(userdir: UserDir = DEFAULT_USERDIR) -> None:
    """Read the whole audit log and say whether a line was changed, taken out, put in, moved or cut off."""
    from abidance.model.errors import AbidanceError
    from abidance.security.audit import AUDIT, Audit

    audit = Audit(userdir.expanduser() / AUDIT)
    found = audit.verify()
    if found.problem:
        raise AbidanceError(
            f"The audit log {audit.path} is not as it was written. {found.problem}",
            f"The {found.lines} lines before are sound. Compare it with a backup; keep this one as evidence.",
        )
    typer.echo(f"{found.lines} lines, all as they were written. Head: {found.head}")


@app.command("show")
def show(
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=10_000, help="How many.")] = 20,
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Show the newest lines, oldest first."""
    from abidance.security.audit import AUDIT, Audit

    for line in reversed(Audit(userdir.expanduser() / AUDIT).last(count)):
        moment = datetime.fromtimestamp(line.ts / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        typer.echo(
            visible(
                f"{line.seq:>6}  {moment}  {line.actor or '-':<20} {line.action:<20} {line.target}  {line.address}"
            )
        )
