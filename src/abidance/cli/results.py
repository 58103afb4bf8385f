"""A backtest's result as tables in the terminal: 80 columns, colour only where it says gain, loss or trouble.

rich is imported when a table is made. Names from strategies and configuration are shown as text, never as markup.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from abidance.backtest.breakdown import by_instrument, by_strategy, refusals_of
from abidance.backtest.result import DATA_NOTICE, BacktestResult
from abidance.backtest.wording import (
    NONE,
    PER_YEAR,
    SECTIONS,
    comparison,
    figure_text,
    format_days,
    format_duration,
    format_money,
    format_number,
    format_percent,
    is_short,
    short_time,
    verdict,
)
from abidance.cli.terminal import visible
from abidance.journal.metrics import Metrics, TradeStats

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "format_days",
    "format_duration",
    "format_money",
    "format_number",
    "format_percent",
    "results_table",
]

WIDTH = 80
GROUPS = 20
"""The most rows of a table of strategies or instruments: those that won or lost most."""
NOTICES = 8
"""The latest notices shown; the report and the JSON hold them all."""
DATA_NOTICES = 4
_SIGNED = {"profit", "total_return", "cagr"}
_STYLES = {"error": "bold red", "warning": "yellow"}


def results_table(result: BacktestResult, metrics: Metrics, benchmark: Metrics) -> "RenderableType":
    """Return what a run did as one renderable no wider than 80 columns.

    What there is to say about its data comes first, then verdict, figures, groups, refusals, notices.
    """
    from rich.console import Group
    from rich.constrain import Constrain
    from rich.text import Text

    parts: list[RenderableType] = [*_about_data(result), _title(result)]
    parts += [_wrapped(verdict(result, metrics, benchmark)), Text()]
    parts.append(_figures(result, metrics, benchmark))
    if result.round_trips:
        profits = {name: float(curve[-1]) for name, curve in result.strategy_equity.items() if len(curve)}
        parts += [Text(), _groups("Strategy", by_strategy(result), profits, result.currency)]
        parts += [Text(), _groups("Instrument", by_instrument(result), {}, result.currency)]
    if result.refusals:
        parts += [Text(), *_refusals(result)]
    if any(notice.code != DATA_NOTICE for notice in result.notices):
        parts += [Text(), *_notices(result)]
    return Constrain(Group(*parts), WIDTH)


def _title(result: BacktestResult) -> "Text":
    from rich.text import Text

    names = visible(", ".join(result.strategy_equity) or "No strategy")
    text = Text(names, style="bold", overflow="ellipsis", no_wrap=True)
    text.truncate(WIDTH, overflow="ellipsis")
    span = (
        f"{short_time(int(result.ts[0]))} to {short_time(int(result.ts[-1]))} UTC"
        if len(result.ts)
        else "no data"
    )
    count = len(result.bars)
    text.append(f"\n{count} instrument{'' if count == 1 else 's'}, {span}", style="not bold dim")
    return text


def _figures(result: BacktestResult, metrics: Metrics, benchmark: Metrics) -> "Table":
    from rich.text import Text

    table = _table()
    table.add_column(Text(f"in {visible(result.currency)}"), min_width=24)
    table.add_column("Strategy", justify="right", min_width=16)
    name = Text(visible(result.benchmark_name.capitalize()))
    table.add_column(
        name, justify="right", min_width=16, max_width=24, overflow="ellipsis", no_wrap=True, style="dim"
    )
    # The verdict says why there is a dash.
    explained = PER_YEAR if is_short(result, metrics) else frozenset[str]()
    for title, figures in SECTIONS:
        texts = [(figure_text(f, metrics), figure_text(f, benchmark, yardstick=True)) for f in figures]
        if table.row_count:
            table.add_row()
        table.add_row(Text(title, style="bold"))
        for figure, (ours, theirs) in zip(figures, texts, strict=True):
            if ours == theirs == NONE and figure.field not in explained:
                continue
            style = _gain(getattr(metrics, figure.field)) if figure.field in _SIGNED else ""
            shown = Text(ours, style=style)
            if comparison(figure, metrics, benchmark) > 0:
                shown.stylize("bold")
            table.add_row(f"  {figure.label}", shown, Text(theirs))
    return table


def _groups(
    title: str, groups: Mapping[str, TradeStats], profits: Mapping[str, float], currency: str
) -> "Table":
    from rich.text import Text

    table = _table()
    table.add_column(title, overflow="ellipsis", no_wrap=True, max_width=24)
    for name in ("Trips", "Open", "Win rate", Text(f"Profit {visible(currency)}"), "Factor", "Holding"):
        table.add_column(name, justify="right", no_wrap=True)
    profit_of = {name: profits.get(name, s.profit + s.open_profit) for name, s in groups.items()}
    shown = (
        list(groups)
        if len(groups) <= GROUPS
        else sorted(groups, key=lambda name: -abs(profit_of[name]))[:GROUPS]
    )
    for name in shown:
        stats = groups[name]
        table.add_row(
            Text(visible(name)),
            format_number(stats.trades, 0),
            format_number(stats.open_trades, 0),
            format_percent(stats.win_rate),
            Text(format_money(profit_of[name]), style=_gain(profit_of[name])),
            format_number(stats.profit_factor),
            format_duration(stats.average_holding_hours),
        )
    if len(shown) < len(groups):
        table.add_row(Text(f"and {len(groups) - len(shown):,} that moved less", style="dim"))
    return table


def _refusals(result: BacktestResult) -> Iterable["RenderableType"]:
    from rich.text import Text

    rows = refusals_of(result)
    yield Text(f"Refused orders: {sum(row.count for row in rows):,}", style="bold")
    for row in rows:
        yield _wrapped(f"{row.count:>6,}  {row.code}")
        yield _wrapped(row.reason, indent=8, style="dim")
    yield _wrapped("docs/refusals.md says what each code means and what to do.", style="dim")


def _about_data(result: BacktestResult) -> Iterable["RenderableType"]:
    from rich.text import Text

    notices = [notice for notice in result.notices if notice.code == DATA_NOTICE]
    for notice in notices[:DATA_NOTICES]:
        yield _wrapped(f"Note: {notice.text}", style="yellow")
    if len(notices) > DATA_NOTICES:
        yield _wrapped(
            f"Note: {len(notices) - DATA_NOTICES:,} more about the data, which the JSON holds.",
            style="yellow",
        )
    if notices:
        yield Text()


def _notices(result: BacktestResult) -> Iterable["RenderableType"]:
    from rich.text import Text

    notices = [notice for notice in result.notices if notice.code != DATA_NOTICE]
    total = len(notices)
    yield Text("Notices" + (f" (the last {NOTICES} of {total:,})" if total > NOTICES else ""), style="bold")
    for notice in notices[-NOTICES:]:
        who = f" {notice.strategy}:" if notice.strategy else ""
        yield _wrapped(
            f"{short_time(notice.ts)} {notice.level}{who} {notice.text}", style=_STYLES.get(notice.level, "")
        )


def _wrapped(text: str, indent: int = 0, style: str = "") -> "RenderableType":
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(visible(text), style=style, overflow="fold"), (0, 0, 0, indent))


def _table() -> "Table":
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", width=None)


def _gain(value: float | None) -> str:
    return "" if not value else "green" if value > 0 else "red"
