"""Commands about market data: bring a file in, list what is there, judge it.

Nothing heavy is imported before a command runs. Errors are left to the program's entry, which knows the exit codes.
"""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from abidance.cli import options, paths
from abidance.cli.tables import table_of
from abidance.cli.terminal import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from abidance.market.bars import Bars
    from abidance.market.importing import FundingImport, ImportResult
    from abidance.market.store import Catalog, Holding

UserDir = Annotated[
    Path,
    typer.Option(
        "--userdir",
        envvar="ABIDANCE_HOME",
        callback=paths.folder,
        help="Where all state lives.",
        show_default="~/.abidance",
    ),
]
InstrumentId = Annotated[str, typer.Option("--instrument", help="For example BTC/USDT@BINANCE.")]
Timeframe = Annotated[str, typer.Option("--timeframe", "-i", help="For example 1m, 1h or 1d.")]

DEFAULT_USERDIR = Path("~/.abidance")
Months = list[tuple[str, float]]

_YEARS_PER_LINE = 4
_BLOCKS, _LETTERS = "█▓▒░·", "#+=-."
_MOST_FINDINGS = 5
_COLOURS = {"ok": "green", "warning": "yellow", "refused": "red"}


def import_data(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, Parquet or Feather with ts, open, high, low, close, volume; for --funding ts, funding_rate."
        ),
    ],
    instrument: InstrumentId,
    timeframe: Timeframe = "",
    funding: Annotated[
        bool, typer.Option("--funding", help="The file holds a perpetual's funding rates, not bars.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let the new rows win where stored ones differ.")
    ] = False,
    config: options.Configs = None,
    store: options.Store = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Bring a file of bars, or of a perpetual's funding rates, into the store."""
    from rich.console import Console

    from abidance.market.importing import import_file, import_funding
    from abidance.market.store import BarStore, FundingStore

    _check_choice(timeframe, is_funding=funding)
    folder = options.store_of(userdir, store, config)
    result: ImportResult | FundingImport
    if funding:
        result = import_funding(file, instrument, FundingStore(folder), replace=replace)
        what = f"funding rates of {instrument}"
    else:
        result = import_file(file, instrument, timeframe, BarStore(folder), replace=replace)
        what = f"bars of {instrument} {timeframe}"
    console = Console(highlight=False)
    console.print(f"Imported {result.rows:,} {what}, {result.added:,} of them new.")
    console.print(_figures(result))
    for sentence in (*result.notices, *result.report.reasons):
        console.print(f"[yellow]Note:[/] {sentence}")


def _figures(result: "ImportResult | FundingImport") -> "Table":
    """Return the quality of what was imported, one figure a line."""
    from rich import box
    from rich.table import Table

    from abidance.market.quality import QualityReport
    from abidance.market.store import show

    report = result.report
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_row("rows", f"{result.rows:,}")
    table.add_row("first", show(report.first))
    table.add_row("last", show(report.last))
    table.add_row("duplicates", f"{result.duplicates:,} dropped" if result.duplicates else "0")
    if isinstance(report, QualityReport):
        move = f"{report.largest_move:+.1%}"
        at = f" at {show(report.largest_move_ts)}" if report.largest_move else ""
        missing = f" ({report.missing:,} missing)" if report.gaps else ""
        table.add_row("gaps", f"{len(report.gaps):,}{missing}")
        table.add_row("no volume", f"{report.zero_volume:,}")
        table.add_row("largest move", move + at)
    else:
        table.add_row("gaps", f"{len(report.holes):,}")
        table.add_row("largest rate", f"{report.largest:+.3%}")
    table.add_row("grade", f"[{_COLOURS[report.grade]}]{report.grade}[/]")
    return table


def _check_choice(timeframe: str, *, is_funding: bool) -> None:
    from abidance.model.errors import UsageError

    if is_funding and timeframe:
        raise UsageError(
            "Funding rates have no timeframe.", "Leave out -i, or --funding if the file holds bars."
        )
    if not (is_funding or timeframe):
        raise UsageError(
            "The timeframe of the bars is missing.",
            "Say it with -i, such as -i 1h; for funding rates say --funding.",
        )


def list_data(
    config: options.Configs = None, store: options.Store = "", userdir: UserDir = DEFAULT_USERDIR
) -> None:
    """List the bars, funding rates and ticks that can be used. Exit code 4 when something stored cannot be read."""
    from rich.console import Console

    from abidance.market.store import show
    from abidance.model.errors import DataError

    table = table_of("instrument", "tf", "from", "to", "rows>", "origin")
    holdings = sorted(
        _catalog(options.store_of(userdir, store, config)).inventory(), key=lambda h: (h.origin, h.instrument)
    )
    for holding in holdings:
        figures: tuple[str, ...] = ("", "", "[red]unreadable[/]")
        if not holding.fault:
            figures = (show(holding.first)[:10], show(holding.last)[:10], f"{holding.rows:,}")
        table.add_row(holding.instrument, _series_name(holding), *figures, holding.origin)
    console = Console(highlight=False)
    console.print(table)
    unreadable = [holding for holding in holdings if holding.fault]
    for holding in unreadable:
        _explain(console, holding, (holding.fault,))
    if unreadable:
        console.print()
    console.print(
        "Longer timeframes are built from these. Add more with: abidance import-data FILE", soft_wrap=True
    )
    if unreadable:
        raise typer.Exit(DataError.exit_code)


def check_data(
    instrument: Annotated[str, typer.Option("--instrument", help="One instrument; all by default.")] = "",
    timeframe: Annotated[str, typer.Option("--timeframe", "-i", help="One timeframe; all by default.")] = "",
    repair: Annotated[
        str,
        typer.Option(
            "--repair", help="Fill the holes of stored bars: flat, or from a second venue (second)."
        ),
    ] = "leave",
    second: Annotated[
        str, typer.Option("--second", help="The instrument that --repair second takes bars from.")
    ] = "",
    config: options.Configs = None,
    store: options.Store = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Judge stored bars and funding rates, say what is odd in them and where. Exit code 4 when one is refused."""
    from rich.console import Console

    from abidance.market.quality import Grade
    from abidance.model.errors import DataError

    catalog = _catalog(options.store_of(userdir, store, config))
    console = Console(highlight=False)
    table = table_of("instrument", "tf", "rows>", "missing>", "no vol>", "odd>", "largest>", "grade")
    chosen = _chosen(catalog, instrument, timeframe)
    for sentence in _repaired(catalog, chosen, repair, second):
        console.print(sentence)
        chosen = _chosen(catalog, instrument, timeframe)
    checked = [_judged(catalog, holding) for holding in chosen]
    for each in checked:
        holding, grade = each.holding, f"[{_COLOURS[each.grade]}]{each.grade}[/]"
        table.add_row(holding.instrument, _series_name(holding), f"{holding.rows:,}", *each.figures, grade)
    console.print(table)
    marks = _marks(console.encoding)
    for each in checked:
        _explain(console, each.holding, each.reasons, each.months)
    whole, few, some, many, none = tuple(marks)
    console.print(
        f"\nMonths: {whole} whole  {few} under 1 % missing  {some} under 10 %  {many} more  {none} all"
    )
    if any(each.grade == Grade.REFUSED for each in checked):
        raise typer.Exit(DataError.exit_code)


def _marks(encoding: str) -> str:
    """Return the marks of a month from whole to absent, in letters that the terminal has."""
    try:
        _BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return _LETTERS
    return _BLOCKS


def _repaired(catalog: "Catalog", chosen: "list[Holding]", policy: str, second: str) -> "list[str]":
    """Fill the holes of the chosen stored bars and return what was done in sentences."""
    from abidance.market.ledger import load, save
    from abidance.market.repair import Policy, repair
    from abidance.model.errors import UsageError

    if policy not in set(Policy):
        raise UsageError(f"Unknown repair {policy!r}.", f"Known are {', '.join(Policy)}.")
    if policy == Policy.LEAVE:
        return []
    if (policy == Policy.SECOND) != bool(second):
        raise UsageError("--second and --repair second belong together.", "Give both, or neither.")
    told = []
    for holding in chosen:
        if (
            holding.origin != "stored"
            or not holding.timeframe
            or holding.fault
            or holding.instrument == second
        ):
            continue
        name = f"{holding.instrument} {holding.timeframe}"
        other = catalog.read(second, holding.timeframe) if second else None
        bars, marks = repair(catalog.read(holding.instrument, holding.timeframe), Policy(policy), other)
        if marks:
            folder = catalog.store.place(holding.instrument, holding.timeframe)
            save(folder, load(folder).marked(*marks))  # marked before they are there: no repair goes unseen
            catalog.store.write(bars)
        told.append(f"{name}: {sum(mark.bars for mark in marks):,} bars put in, in {len(marks):,} holes.")
    return told


class _Judged(NamedTuple):
    """A series with its figures (missing, gaps, no volume, odd, largest), its grade, why, and its months."""

    holding: "Holding"
    figures: tuple[str, ...]
    grade: str
    reasons: tuple[str, ...]
    months: Months


def _judged(catalog: "Catalog", holding: "Holding") -> _Judged:
    from abidance.market.quality import Grade, completeness, inspect_bars, inspect_funding
    from abidance.model.errors import DataError

    if holding.fault:
        return _Judged(holding, ("",) * 4, Grade.REFUSED, (holding.fault,), [])
    if holding.kind == "sentiment":  # what is stored of it was judged when it came
        return _Judged(holding, ("",) * 4, Grade.OK, (), [])
    try:
        if holding.is_funding and (funding := catalog.funding(holding.instrument)) is not None:
            rates = inspect_funding(funding)
            figures: tuple[str, ...] = (f"{len(rates.holes):,}", "", "", f"{rates.largest:+.3%}")
            return _Judged(holding, figures, rates.grade, rates.reasons, [])
        bars = catalog.read(holding.instrument, holding.timeframe)
    except DataError as error:  # the times could be read, and something else cannot
        return _Judged(holding, ("",) * 4, Grade.REFUSED, (str(error),), [])
    report = inspect_bars(bars)
    odd, sentences = _odd(catalog, holding, bars)
    counts = (report.missing, report.zero_volume, odd)
    figures = (*(f"{count:,}" for count in counts), f"{report.largest_move:+.1%}")
    return _Judged(holding, figures, report.grade, (*report.reasons, *sentences), completeness(bars))


def _odd(catalog: "Catalog", holding: "Holding", bars: "Bars") -> tuple[int, list[str]]:
    """Return how many places of a series deserve a look, and the oddest in sentences; the ledger learns of them."""
    from abidance.kernel.clock import WallClock
    from abidance.market.findings import disagreements, findings
    from abidance.market.ledger import review
    from abidance.market.store import show
    from abidance.model.errors import DataError

    found, sentences = findings(bars), []
    for other in _same_pair(catalog, holding):
        found += disagreements(bars, catalog.read(other, holding.timeframe))
    oddest = sorted(found, key=lambda finding: -finding.score)[:_MOST_FINDINGS]
    sentences = [f"{show(f.ts)} {f.kind}: {f.text}" for f in sorted(oddest, key=lambda f: f.ts)]
    if len(found) > len(oddest):
        sentences.append(f"and {len(found) - len(oddest):,} odd places less so.")
    if holding.origin == "stored":
        try:
            folder = catalog.store.place(holding.instrument, holding.timeframe)
            ledger = review(folder, bars, WallClock().now())
        except DataError as error:  # a disk that may only be read is no reason not to check
            return len(found), [*sentences, str(error)]
        if put_in := sum(mark.bars for mark in ledger.marks):
            sentences.append(f"{put_in:,} of the bars were put in by repairs.")
    return len(found), sentences


def _same_pair(catalog: "Catalog", holding: "Holding") -> list[str]:
    """Return the same pair at other venues, where there are bars of the same timeframe."""
    pair = holding.instrument.partition("@")[0]
    return [
        h.instrument
        for h in catalog.inventory()
        if h.timeframe == holding.timeframe
        and not h.fault
        and h.instrument != holding.instrument
        and h.instrument.partition("@")[0] == pair
    ]


def _catalog(where: Path | str) -> "Catalog":
    from abidance.market.store import BarStore, Catalog

    return Catalog(BarStore(where))


def _chosen(catalog: "Catalog", instrument: str, timeframe: str) -> "list[Holding]":
    """Return what to check; a series that must be built first counts when it is asked for by name.

    Tapes of ticks are judged as they come.
    """
    from abidance.market.store.tables import TAPES

    holdings = [
        h
        for h in catalog.inventory()
        if h.kind not in TAPES
        and (not instrument or h.instrument == instrument)
        and (not timeframe or h.timeframe == timeframe)
    ]
    if holdings:
        return holdings
    from abidance.market.store import Holding
    from abidance.model.errors import DataError

    if not (instrument and timeframe):
        what = instrument or f"the timeframe {timeframe}"
        raise DataError(f"There are no bars of {what}.", "See what there is with: abidance list-data")
    bars = catalog.read(instrument, timeframe)
    return [Holding(instrument, timeframe, len(bars), int(bars.ts[0]), int(bars.ts[-1]), "built")]


def _explain(
    console: "Console", holding: "Holding", reasons: tuple[str, ...], months: Months | None = None
) -> None:
    """Print when bars are missing, month by month, and why the grade is what it is."""
    from rich.markup import escape

    months, marks = months or [], _marks(console.encoding)
    if not (months or reasons):
        return
    console.print(f"\n[bold]{holding.instrument} {_series_name(holding)}[/]")
    years: dict[str, str] = defaultdict(str)
    for month, share in months:
        year, number = month.split("-")
        years[year] = years[year].ljust(int(number) - 1) + _mark(share, marks)
    blocks = [f"{year} {line.ljust(12)}" for year, line in years.items()]
    for start in range(0, len(blocks), _YEARS_PER_LINE):
        console.print("  " + "  ".join(blocks[start : start + _YEARS_PER_LINE]).rstrip())
    for sentence in reasons:
        console.print(f"  {escape(visible(sentence))}")


def _series_name(holding: "Holding") -> str:
    return holding.timeframe or holding.kind


def _mark(share: float, marks: str) -> str:
    """Return the mark for a month of which `share` is there."""
    for least, mark in zip((1.0, 0.99, 0.9), marks, strict=False):
        if share >= least:
            return mark
    return marks[3] if share > 0 else marks[4]
