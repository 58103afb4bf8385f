"""A running bot as lines of text: what it holds, earned and did, and whether risk lets it go on.

Drawing changes nothing: it reads marks and records, never what would settle a price. Colour says gain, loss or trouble.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from abidance.backtest.wording import short_time
from abidance.cli.grid import Cell, Column, Grid, clipped, gain, meter, spark, thinned
from abidance.cli.terminal import visible
from abidance.engine.board import Board
from abidance.model.instrument import Instrument, parse_instrument_id, timeframe_ns
from abidance.model.market import Trade
from abidance.risk.state import TradingState

if TYPE_CHECKING:
    from abidance.engine.engine import Engine
    from abidance.engine.state import State
    from abidance.model.account import Position
    from abidance.model.order import Fill, OrderRequest
    from abidance.run.config import RunConfig
    from abidance.run.paper import Moment

BESIDE = 116
"""From this width on prices and fills stand side by side."""
_DAY_NS = 86_400_000_000_000
_FILLS, _NOTICES, _CLOSES = 60, 20, 30
"""The most of each that a picture shows."""
_MANY = 12
_GAP = 4
"""Cells between two blocks that stand side by side."""
_STATES = {TradingState.ACTIVE: "green", TradingState.REDUCING: "yellow", TradingState.HALTED: "bold red"}
_LEVELS = {"error": "red", "warning": "yellow"}
_PRICES = (Column("Price"), Column("last", right=True), Column("24h", right=True), Column("closes", rank=1))
_POSITIONS = (
    Column("Position"), Column("strategy", rank=4), Column("side", rank=2), Column("quantity", right=True, rank=1),
    Column("entry", right=True), Column("last", right=True, rank=5), Column("P&L", right=True),
    Column("%", right=True), Column("stop", right=True), Column("target", right=True, rank=3),
)  # fmt: skip
_ORDERS = (
    Column("Fill"), Column("instrument"), Column("side"), Column("quantity", right=True, rank=2),
    Column("price", right=True), Column("purpose", rank=1), Column("strategy", rank=3),
)  # fmt: skip


class Figures(NamedTuple):
    """What a run amounts to at one moment; shares are of equity, `drawdown` is from the highest equity so far."""

    ts: int
    equity: float
    profit: float
    drawdown: float
    exposure: float
    positions: int
    fills: int
    refusals: int


class Picture:
    """Draws one run again and again; it remembers column widths, so that nothing jumps."""

    def __init__(self, config: "RunConfig") -> None:
        self._config = config
        wallet = config.dry_run_wallet
        self._start = float(sum(wallet.values()) if isinstance(wallet, dict) else wallet)
        self._one_venue = len({parse_instrument_id(id).venue for id in config.instruments}) == 1
        self._refused: Counter[str] = Counter()
        self._counted = self._points = 0
        self._peak = self._start
        self._grids = {"prices": Grid(_PRICES), "positions": Grid(_POSITIONS), "orders": Grid(_ORDERS)}

    def figures(self, moment: "Moment") -> Figures:
        """Return what the run amounts to."""
        engine, recorder = moment.engine, moment.recorder
        self._peak = max(self._peak, engine.equity, max(recorder.equity[self._points :], default=0.0))
        self._points = len(recorder.equity)
        portfolio, equity = engine.state.portfolio, engine.equity
        return Figures(
            ts=engine.state.now,
            equity=equity,
            profit=equity - self._start,
            drawdown=1 - equity / self._peak,
            exposure=portfolio.exposure() / equity if equity > 0 else 0.0,
            positions=len(portfolio.open_positions()),
            fills=len(engine.fills),
            refusals=len(recorder.refusals),
        )

    def summary(self, moment: "Moment") -> str:
        """Return the run in one line of plain text."""
        now = self.figures(moment)
        share = _percent(now.profit / self._start, 2)
        return (
            f"{'LIVE  ' if moment.is_real else ''}{moment.feeds or f'{moment.progress:4.0%}'}  {short_time(now.ts)} UTC  equity {now.equity:,.2f} {self._config.currency}"
            f" ({share})  positions {now.positions}  fills {now.fills:,}  refused {now.refusals:,}"
            f"  {moment.engine.standing().state.name}"
        )

    def draw(self, moment: "Moment", width: int, height: int) -> Text:
        """Return at most `height` lines, none wider than `width`."""
        now = self.figures(moment)
        head = [
            self._title(moment, now, width),
            _trusted(moment.feeds) if moment.feeds else _replayed(moment.progress, width),
            *self._account(moment, now, width),
        ]
        beside = width >= BESIDE
        left = max(46, min(72, width - _GAP - 66)) if beside else width
        refused = self._refusals(moment)
        blocks = {
            "prices": self._prices(moment.engine, min(_CLOSES, left - 32)),
            "positions": self._positions(moment.engine),
            "orders": self._orders(moment.engine),
            "notices": self._notices(moment),
        }
        # A tall terminal keeps some lines free, to tell the blocks apart.
        room = height - len(head) - bool(refused) - min(5, max(0, height - 24))
        shares = _shares({name: len(rows) for name, rows in blocks.items()}, room, beside=beside)
        parts = [head, *self._body(blocks, shares, width, left)]
        if refused:
            parts.insert(-1, [refused])
        lines = _spaced(parts, height)
        return Text("\n", no_wrap=True, overflow="crop").join(clipped(line, width) for line in lines)

    def _body(
        self, blocks: dict[str, list[list[Cell]]], shares: dict[str, int], width: int, left: int
    ) -> list[list[Text]]:
        shown = {name: rows[: shares[name]] for name, rows in blocks.items()}
        grids = self._grids
        notices = [
            Text.assemble(*((visible(text), style) for text, style in row)) for row in shown["notices"]
        ]
        positions = grids["positions"].lines(shown["positions"], width, len(blocks["positions"]))
        if not blocks["positions"]:
            positions = [Text("No open position", style="dim")]
        prices = grids["prices"].lines(shown["prices"], left, len(blocks["prices"]))
        if left == width:
            return [prices, positions, grids["orders"].lines(shown["orders"], width), notices]
        orders = grids["orders"].lines(shown["orders"], width - left - _GAP)
        return [_beside(prices, orders, left + _GAP), positions, notices]

    # --- the head

    def _title(self, moment: "Moment", now: Figures, width: int) -> Text:
        badge = (" LIVE ", "bold white on red") if moment.is_real else (" PAPER ", "bold cyan reverse")
        left = Text.assemble(badge, " ", (self._config.name, "bold"))
        if moment.resumed:
            left.append(f"  resumed after {moment.resumed:,} records", "dim")
        right = Text.assemble((f"{pace(moment.speed)}  ", "dim"), f"{short_time(now.ts)} UTC")
        gap = width - left.cell_len - right.cell_len
        if gap < 1:
            left.truncate(max(0, width - right.cell_len - 1), overflow="ellipsis")
            gap = max(1, width - left.cell_len - right.cell_len)
        return left.append(" " * gap).append_text(right)

    def _account(self, moment: "Moment", now: Figures, width: int) -> Iterable[Text]:
        currency, limits = self._config.currency, self._config.risk
        style = gain(now.profit)
        equity = Text.assemble(
            "Equity    ", (f"{now.equity:,.2f} {currency}", "bold"),
            (f"  {_signed(now.profit)}  {_percent(now.profit / self._start, 2)}", style), "  ",
        )  # fmt: skip
        curve = moment.recorder.equity
        room = width - equity.cell_len
        yield equity.append(spark(thinned(curve, room), room), "dim")
        length = max(4, (width - 52) // 2)
        worst = limits.breakers.max_drawdown
        line = Text("Exposure  ")
        line.append_text(_against(now.exposure, limits.limits.max_exposure, length))
        line.append(f" {now.exposure:.1%} of {_share(limits.limits.max_exposure)}".ljust(16))
        line.append("Drawdown ")
        line.append_text(_against(now.drawdown, worst or 1.0, length))
        yield line.append(f" {now.drawdown:.1%}" + (f" of {_share(worst)}" if worst else ""))
        yield self._risk(moment.engine)

    def _risk(self, engine: "Engine") -> Text:
        standing = engine.standing()
        line = Text.assemble("Risk      ", (standing.state.name, _STATES[standing.state]))
        if standing.reason:
            return line.append(f"  {visible(standing.reason)}")
        resting = [each.name for each in self._config.strategies if engine.actions.standing(each.name).code]
        wild = [id for id in self._config.instruments if engine.actions.standing("", id).code]
        if resting:
            line.append("  resting: ", "dim").append(visible(", ".join(resting)), "yellow")
        if wild:
            line.append("  no entries in ", "dim").append(", ".join(map(self._short, wild)), "yellow")
        return line

    # --- the blocks, as rows of cells

    def _prices(self, engine: "Engine", length: int) -> list[list[Cell]]:
        """Return one row per instrument, `length` closes drawn; of very many those come first that are held."""
        state = engine.state
        held = {position.instrument for position in state.portfolio.open_positions()}
        rows = []
        ids = list(state.instruments)
        if len(ids) > _MANY:
            ids.sort(key=lambda id: id not in held)
        for id in ids:
            price = _last(state.boards[id])
            closes, day = _closes(state, id)
            change = price / day - 1 if price and day else None
            rows.append([
                (self._short(id), ""),
                (_price(price, state.instruments[id]), "bold"),
                (_percent(change), gain(change)),
                (spark(closes, length), "dim"),
            ])  # fmt: skip
        return rows

    def _positions(self, engine: "Engine") -> list[list[Cell]]:
        return [self._position(engine, position) for position in engine.state.portfolio.open_positions()]

    def _position(self, engine: "Engine", position: "Position") -> list[Cell]:
        state = engine.state
        instrument = state.instruments[position.instrument]
        entry, last = float(position.average_price), _last(state.boards[position.instrument])
        sign = 1 if position.quantity > 0 else -1
        change = (last / entry - 1) * sign if last and entry else None
        rate = state.portfolio.worth(instrument.quote)
        profit = (last - entry) * float(position.quantity) * rate if last else None
        plan = engine.exits.plan(position.strategy, position.instrument)
        return [
            (self._short(position.instrument), ""),
            (position.strategy, ""),
            (str(position.direction), ""),
            (_quantity(abs(position.quantity)), ""),
            (_price(entry, instrument), ""),
            (_price(last, instrument), ""),
            (_signed(profit), gain(profit)),
            (_percent(change), gain(change)),
            (_price(plan.stop if plan else None, instrument), ""),
            (_price(plan.goal if plan else None, instrument), ""),
        ]

    def _orders(self, engine: "Engine") -> list[list[Cell]]:
        """Return entries that wait, then the latest fills; the stops that wait stand with their positions."""
        entries = (order for order in engine.state.orders.open() if not order.request.reduce_only)
        waiting = [self._order(engine, e.request, ("waiting", e.remaining, e.request.price)) for e in entries]
        latest = engine.fills[: -_FILLS - 1 : -1]
        return waiting + [self._order(engine, f, (short_time(f.ts)[5:], f.quantity, f.price)) for f in latest]

    def _order(
        self, engine: "Engine", it: "Fill | OrderRequest", told: tuple[str, Decimal, Decimal | None]
    ) -> list[Cell]:
        when, quantity, price = told
        instrument = engine.state.instruments[it.instrument]
        return [
            (when, "dim"),
            (self._short(it.instrument), ""),
            (str(it.side), ""),
            (_quantity(quantity), ""),
            (_price(float(price), instrument) if price is not None else "market", ""),
            (str(it.purpose).replace("_", " "), ""),
            (it.strategy, "dim"),
        ]

    def _refusals(self, moment: "Moment") -> Text | None:
        refusals = moment.recorder.refusals
        self._refused.update(str(refused.code) for _, refused in refusals[self._counted :])
        self._counted = len(refusals)
        if not refusals:
            return None
        line = Text.assemble(("Refused", "bold"), f"  {len(refusals):,}: ")
        return line.append(
            ", ".join(f"{code} {count:,}" for code, count in self._refused.most_common()), "dim"
        )

    def _notices(self, moment: "Moment") -> list[list[Cell]]:
        return [
            [(f"{short_time(notice.ts)[5:]}  ", "dim"), (notice.text, _LEVELS.get(notice.level, ""))]
            for notice in moment.recorder.notices[: -_NOTICES - 1 : -1]
        ]

    def _short(self, instrument: str) -> str:
        return instrument.partition("@")[0] if self._one_venue else instrument


def pace(speed: float) -> str:
    """Return how fast market time passes, in words."""
    if speed <= 0:
        return "full speed"
    if speed == 1:
        return "real time"
    for name, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if speed >= seconds or seconds == 1:
            count = speed / seconds
            number = f"{count:,.0f}" if count >= 100 else f"{count:.3g}"
            return f"{number} {name}{'' if number == '1' else 's'} a second"
    raise AssertionError(speed)


def _trusted(feeds: str) -> Text:
    return Text.assemble(("Live  ", "dim"), (feeds, "yellow" if "," in feeds else "green"))


def _replayed(progress: float, width: int) -> Text:
    return meter(progress, width - 6, "cyan").append(f"{progress:6.0%}")


def _against(value: float, limit: float, length: int) -> Text:
    share = value / limit
    return meter(share, length, "red" if share >= 1 else "yellow" if share >= 0.9 else "")


def _share(value: float) -> str:
    return f"{value * 100:g}%"


def _percent(value: float | None, digits: int = 1) -> str:
    """Return a change with its sign, always of the same precision: digits that come and go would flicker."""
    if value is None:
        return ""
    text = f"{value:+.{digits}%}"
    return text[1:] if not text.strip("+-0.%") else text


def _signed(value: float | None) -> str:
    """Return an amount with its sign."""
    if value is None:
        return ""
    text = f"{value:+,.2f}"
    return text[1:] if not text.strip("+-0.,") else text


def _last(board: Board) -> float | None:
    """Return the newest price without settling it: looking must not change when the engine takes it over."""
    tick = board.tick
    if tick is None:
        return board.price
    return tick.price if isinstance(tick, Trade) else (tick.bid + tick.ask) / 2


def _closes(state: "State", instrument: str) -> tuple[Sequence[float], float | None]:
    """Return the last closes of the longest timeframe, and the close a day before them (or the first that is known)."""
    timeframes = [timeframe for id, timeframe in state.series if id == instrument]
    if not timeframes:
        return (), None
    longest = max(timeframes, key=timeframe_ns)
    closes = state.series[instrument, longest].bars().close
    back = max(1, _DAY_NS // timeframe_ns(longest))
    day = float(closes[-min(back + 1, len(closes))]) if len(closes) else None
    return closes[-_CLOSES:].tolist(), day


def _price(price: float | None, instrument: Instrument) -> str:
    if price is None:
        return ""
    exponent = instrument.tick.normalize().as_tuple().exponent
    digits = max(0, -exponent) if isinstance(exponent, int) else 2
    return f"{price:,.{digits}f}"


def _quantity(quantity: Decimal) -> str:
    text = f"{quantity.normalize():,f}"
    return text if len(text) <= 12 else f"{float(quantity):,.6g}"


def _shares(wanted: Mapping[str, int], room: int, *, beside: bool) -> dict[str, int]:
    """Return how many rows each block gets; what matters most is served first."""
    shares = dict.fromkeys(wanted, 0)
    room -= 2 if beside else 3
    for name, most in _TURNS:
        while shares[name] < min(wanted[name], most) and room > 0:
            shares[name] += 1
            # Side by side the longer of the two blocks takes the lines.
            is_free = (
                beside
                and name in _PAIR
                and shares[name] <= max(shares[other] for other in _PAIR if other != name)
            )
            room -= not is_free
    return shares


_PAIR = ("prices", "orders")
_ALL = 10_000
_TURNS = (
    ("positions", 3), ("prices", 3), ("orders", 2), ("notices", 1), ("positions", _ALL), ("prices", _ALL),
    ("orders", 6), ("notices", 3), ("orders", _ALL), ("notices", _ALL),
)  # fmt: skip
"""Who is served in which order, and up to how many rows."""


def _beside(left: Sequence[Text], right: Sequence[Text], width: int) -> list[Text]:
    lines = []
    for row in range(max(len(left), len(right))):
        line = left[row] if row < len(left) else Text()
        line.append(" " * (width - line.cell_len))
        lines.append(line.append_text(right[row]) if row < len(right) else line)
    return lines


def _spaced(parts: Iterable[Sequence[Text]], height: int) -> list[Text]:
    """Return the parts one below the other, with a line between them while there is room."""
    shown = [part for part in parts if part]
    spare = height - sum(map(len, shown))
    lines: list[Text] = []
    for number, part in enumerate(shown):
        if number and spare > 0:
            lines.append(Text())
            spare -= 1
        lines.extend(part)
    return lines[: max(1, height)]
