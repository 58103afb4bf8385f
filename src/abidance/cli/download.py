"""The commands that fill the store from venues and ask it questions: `download-data`, `data sql`, `data compact`.

Nothing heavy is imported before a command runs. Errors are left to the program's entry, which knows the exit codes.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli import options, paths
from abidance.cli.data import DEFAULT_USERDIR, UserDir

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from abidance.market.backfill import Step
    from abidance.market.store import Tables
    from abidance.model.errors import AbidanceError
    from abidance.run.downloading import Outcome, Wish

_TIMEFRAME = re.compile(r"\d+[smhdw]")
_ROWS = 10_000

More = Annotated[list[str] | None, typer.Argument(help="More pairs and timeframes, after -p and -i.")]

app = typer.Typer(no_args_is_help=True, help="Ask the store questions, and keep it tidy.")


def download_data(
    more: More = None,
    pairs: options.Pairs = None,
    timeframe: Annotated[
        list[str] | None, typer.Option("-i", "--timeframe", help="1m 5m 1h: one or more; 1h by default.")
    ] = None,
    timerange: Annotated[
        str, typer.Option("--timerange", help="20240101-20240601; the last 30 days by default.")
    ] = "",
    venue: Annotated[str, typer.Option("--venue", help="The venue of pairs that name none.")] = "",
    trades: Annotated[bool, typer.Option("--trades", help="Trades, too.")] = False,
    funding: Annotated[bool, typer.Option("--funding", help="Funding rates of perpetuals, too.")] = False,
    from_files: Annotated[
        Path | None,
        typer.Option(
            "--from-files", help="A file or folder of the venue's public archives, instead of its REST."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let the new rows win where stored ones differ.")
    ] = False,
    config: options.Configs = None,
    store: options.Store = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Bring history into the store: bars, trades, funding. Run it again to go on; nothing is asked for twice."""
    from rich.console import Console

    from abidance.market.store import open_tables
    from abidance.run.downloading import wish_of

    console = Console(highlight=False)
    tables = open_tables(options.store_of(userdir, store, config))
    listed, frames = _sorted_out(more or (), pairs or (), timeframe or ())
    if from_files is not None:
        _from_files(console, tables, from_files, venue, listed, replace=replace)
        return
    wish = wish_of(listed, frames, venue, timerange, trades=trades, funding=funding, replace=replace)
    try:
        outcomes = _download(console, wish, tables, config)
    except KeyboardInterrupt:
        typer.echo("Interrupted; what came is stored. To go on: run the same command again.", err=True)
        raise typer.Exit(130) from None
    _conclude(console, outcomes)
    if faults := [outcome.fault for outcome in outcomes if outcome.fault is not None]:
        raise typer.Exit(_code(faults))


def _code(faults: "Iterable[AbidanceError]") -> int:
    """Return the exit code of a download: that of the exchange when it failed, else that of data."""
    from abidance.model.errors import DataError, VenueError

    is_venue = any(isinstance(fault, VenueError) for fault in faults)
    return VenueError.exit_code if is_venue else DataError.exit_code


def _sorted_out(
    more: Iterable[str], pairs: Iterable[str], timeframes: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Return pairs and timeframes, however they were spread: `-p A B -i 1m 5m` leaves B and 5m without a flag."""
    listed = [part.strip() for text in pairs for part in text.split(",") if part.strip()]
    frames = [part.strip() for text in timeframes for part in text.split(",") if part.strip()]
    for text in more:
        (frames if _TIMEFRAME.fullmatch(text) else listed).append(text)
    return listed, frames


def _download(
    console: "Console", wish: "Wish", tables: "Tables", configs: list[Path] | None
) -> "list[Outcome]":
    import asyncio

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from abidance.run.downloading import download

    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        TextColumn("{task.percentage:3.0f} %  {task.fields[added]:>9,} new"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        return asyncio.run(
            download(wish, tables, options.feed_of(configs), _watching(progress.add_task, progress.update))
        )


def _watching(add: "Callable[..., int]", update: "Callable[..., None]") -> "Callable[[Step], None]":
    """Return what shows each part of a download on a line of its own."""
    lines: dict[str, int] = {}

    def watch(step: "Step") -> None:
        if step.what not in lines:
            lines[step.what] = add(step.what, total=1.0, added=0)
        update(lines[step.what], completed=step.share, added=step.added)

    return watch


def _conclude(console: "Console", outcomes: "list[Outcome]") -> None:
    from rich.markup import escape

    from abidance.cli.terminal import visible

    for outcome in outcomes:
        name = f"{outcome.instrument} {outcome.kind}"
        if outcome.fault is None:
            console.print(f"{name}: {outcome.added:,} new.")
        else:
            told = escape(visible(str(outcome.fault)))
            console.print(f"[red]{name}:[/] {told}", soft_wrap=True)


def _from_files(
    console: "Console", tables: "Tables", place: Path, venue: str, pairs: list[str], *, replace: bool
) -> None:
    from rich.markup import escape

    from abidance.cli.terminal import visible
    from abidance.market.archives import import_archives
    from abidance.model.errors import DataError

    pair = pairs[0] if len(pairs) == 1 else ""
    failed = False
    for result in import_archives(
        place, (venue or options.DEFAULT_VENUE).upper(), tables, pair, replace=replace
    ):
        if result.fault:
            failed = True
            console.print(f"[red]{result.file}:[/] {escape(visible(str(result.fault)))}", soft_wrap=True)
        else:
            console.print(
                f"{result.file}: {result.rows:,} {result.what}, {result.added:,} new.", soft_wrap=True
            )
    if failed:
        raise typer.Exit(DataError.exit_code)


@app.command("sql")
def sql(
    query: Annotated[str, typer.Argument(help="For example: select * from bars limit 5")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", callback=paths.output, help="Write the answer as .csv, .json or .parquet."
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Most rows to show.")] = 50,
    config: options.Configs = None,
    store: options.Store = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Ask the store a question in SQL. Views: bars, funding, trades, quotes, books, marks, holes; binance_bars too."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from abidance.cli.terminal import visible
    from abidance.market.store import open_tables

    tables = open_tables(options.store_of(userdir, store, config))
    if output is not None:
        frame = tables.sql(query)
        _write(frame, output)
        typer.echo(f"{frame.height:,} rows are in {output}")
        return
    frame = tables.sql(query, rows + 1)
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name, kind in zip(frame.columns, frame.dtypes, strict=True):
        table.add_column(
            Text(visible(name)), justify="right" if kind.is_numeric() else "left", overflow="fold"
        )
    for row in frame.head(rows).iter_rows():
        table.add_row(*(Text("" if value is None else visible(str(value))) for value in row))
    console.print(table)
    if frame.height > rows:
        console.print(
            f"There are more than {rows:,} rows: show more with --rows, or write all with -o FILE.csv"
        )


def _write(frame: "object", output: Path) -> None:
    """Write a frame in the format that a file's name asks for; folders on the way are made.

    Raises UsageError for another format, and where nothing can be written.
    """
    from abidance.model.errors import UsageError

    writers = {".csv": "write_csv", ".json": "write_json", ".parquet": "write_parquet"}
    writer = writers.get(output.suffix.lower())
    if writer is None:
        raise UsageError(f"{output.name} has no known format.", f"Known are {', '.join(writers)}.")
    whole = output.expanduser()
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        with whole.open("wb") as file:
            getattr(frame, writer)(file)
    except OSError as error:
        raise UsageError(
            f"{output} cannot be written: {error.strerror or error}.", "Name another file."
        ) from error


@app.command("compact")
def compact(
    config: options.Configs = None, store: options.Store = "", userdir: UserDir = DEFAULT_USERDIR
) -> None:
    """Bring recorded trades, quotes and books into one file a month."""
    from abidance.market.store import open_tables
    from abidance.market.store.tables import TAPES

    tables = open_tables(options.store_of(userdir, store, config))
    gone = sum(tables.compact(place) for kind in TAPES for place in tables.places(kind))
    typer.echo(f"{gone:,} files less.")
