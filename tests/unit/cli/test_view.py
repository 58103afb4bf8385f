"""The live view: it fits every terminal, tells the truth, changes nothing, and is silent most of the time."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from abidance.backtest.result import BacktestResult
from abidance.cli.grid import Column, Grid, in_ascii, meter, spark, thinned
from abidance.cli.picture import Picture, pace
from abidance.cli.view import Lines, Screen, view_of
from abidance.market.store import BarStore, Catalog
from abidance.model.event import ControlAction
from abidance.model.outcome import Notice
from abidance.run.config import RunConfig, load
from abidance.run.paper import Moment, Paper

SIZES = [(80, 24), (100, 30), (116, 24), (120, 40), (200, 60), (60, 15), (40, 10), (20, 5), (5, 3), (1, 1)]
DEMO = Path(str(files("abidance") / "data" / "demo.toml"))
HOSTILE = "\x1b[2Jwiped\r\n\u202eevil"


def configuration(timerange: str = "20250501-20250515", **more: object) -> RunConfig:
    return load([DEMO], {"timerange": timerange, "journal_sync": "never", **more}, {})


def trade(
    folder: Path, watch: Callable[[Moment], None], config: RunConfig | None = None
) -> tuple[Paper, BacktestResult]:
    catalog = Catalog(BarStore(folder / "data"))
    with Paper(config or configuration(), catalog, None, folder / "run") as paper:
        paper.run(0, lambda: False, watch)
        return paper, paper.result()


@pytest.fixture(scope="module")
def moment(tmp_path_factory: pytest.TempPathFactory) -> Moment:
    """Return the last moment of two weeks of trading, with open positions and refusals."""
    moments: list[Moment] = []
    trade(tmp_path_factory.mktemp("trade"), moments.append)
    found = moments[-1]
    assert found.engine.state.portfolio.open_positions()
    assert found.recorder.refusals
    return found


def rendered(text: Text, width: int, **options: object) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, legacy_windows=False, **options)  # type: ignore[arg-type]
    console.print(text, no_wrap=True, overflow="crop", crop=False)
    return file.getvalue()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_picture_fits_its_terminal_and_nothing_wraps(moment: Moment, width: int, height: int) -> None:
    picture = Picture(configuration()).draw(moment, width, height)

    lines = rendered(picture, width).removesuffix("\n").split("\n")

    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


def test_a_picture_fits_at_every_moment_of_a_run(tmp_path: Path) -> None:
    pictures = [Picture(configuration()) for _ in SIZES]
    misfits = []

    def watch(moment: Moment) -> None:
        for picture, (width, height) in zip(pictures, SIZES, strict=True):
            lines = picture.draw(moment, width, height).plain.split("\n")
            if len(lines) > height or max(map(cell_len, lines)) > width:
                misfits.append((moment.progress, width, height))

    trade(tmp_path, watch, configuration("20250507-20250510"))

    assert not misfits


def test_a_small_terminal_shows_what_matters(moment: Moment) -> None:
    engine = moment.engine
    position = engine.state.portfolio.open_positions()[0]
    plan = engine.exits.plan(position.strategy, position.instrument)
    assert plan is not None
    assert plan.stop is not None

    text = Picture(configuration()).draw(moment, 80, 24).plain

    for words in (
        "PAPER", "demo", "2025-05-15 00:00 UTC", "100%", "full speed", f"{engine.equity:,.2f} USDT", "of 50%",
        "of 25%", "ACTIVE", "BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "XRP/USDT", "ADA/USDT", "DOGE/USDT",
        "long", f"{float(position.average_price):,.2f}"[:-1], f"{plan.stop:,.2f}"[:-1], "entry", "Refused",
        "max_exposure",
    ):  # fmt: skip
        assert words in text, words


def test_a_profit_is_measured_from_the_opening_balance_and_a_drawdown_from_the_peak(moment: Moment) -> None:
    picture = Picture(configuration())

    now = picture.figures(moment)
    again = picture.figures(moment)

    peak = max(10_000.0, *moment.recorder.equity)
    assert now == again
    assert now.profit == pytest.approx(moment.engine.equity - 10_000)
    assert now.drawdown == pytest.approx(1 - moment.engine.equity / peak)
    assert (now.fills, now.refusals) == (len(moment.engine.fills), len(moment.recorder.refusals))


def test_a_wide_terminal_puts_fills_beside_prices(moment: Moment) -> None:
    line = Picture(configuration()).draw(moment, 120, 40).plain.split("\n")[6]

    assert line.startswith("Price")
    assert "closes" in line
    assert "quantity" in line
    assert "purpose" in line


def test_looking_changes_nothing(tmp_path: Path) -> None:
    picture = Picture(configuration())

    _, watched = trade(tmp_path / "watched", lambda moment: void(picture.draw(moment, 120, 40)))
    _, alone = trade(tmp_path / "alone", lambda moment: None)

    assert watched.equity.tolist() == alone.equity.tolist()
    assert [fill.price for fill in watched.fills] == [fill.price for fill in alone.fills]


def void(_: object) -> None:
    pass


def test_a_kill_shows_in_the_risk_line(tmp_path: Path) -> None:
    moments: list[Moment] = []
    catalog = Catalog(BarStore(tmp_path))
    with Paper(configuration("20250501-20250502"), catalog, None, tmp_path / "run") as paper:
        paper.run(0, lambda: False, moments.append)
        paper.control(ControlAction.KILL, "operator")
        text = Picture(configuration()).draw(moments[-1], 100, 30).plain

    assert "HALTED  operator used the kill switch" in text
    assert "operator" in text.split("\n")[-1]


def test_names_and_notices_cannot_steer_the_terminal(tmp_path: Path) -> None:
    moments: list[Moment] = []
    strategies = [{"strategy": "EmaCross", "name": HOSTILE, "parameters": {"fast": 5, "slow": 20}}]
    config = configuration("20250507-20250510", strategies=strategies)
    trade(tmp_path, moments.append, config)
    moments[-1].recorder.notices.append(Notice(0, "error", "code", HOSTILE))
    moments[-1].engine.actions.stopped.add("")

    picture = Picture(config).draw(moments[-1], 160, 50)

    assert "wiped" in picture.plain
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", picture.plain)
    assert all(len(line) <= 160 for line in picture.plain.split("\n"))


def test_without_colour_no_colour_is_sent(moment: Moment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    picture = Picture(configuration()).draw(moment, 100, 30)

    text = rendered(picture, 100, force_terminal=True, color_system="standard")

    codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", text) for code in found.split(";")}
    assert codes <= {"0", "1", "2", "7", ""}
    assert "7" in codes


def test_a_terminal_of_plain_letters_gets_plain_letters(moment: Moment) -> None:
    picture = Picture(configuration()).draw(moment, 100, 30)

    text = in_ascii(picture).plain

    assert text.isascii()
    assert "PAPER" in text


def test_a_pipe_and_a_dumb_terminal_get_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration()
    terminal = Console(file=io.StringIO(), force_terminal=True)

    assert isinstance(view_of(config, Console(file=io.StringIO()), plain=False), Lines)
    assert isinstance(view_of(config, terminal, plain=True), Lines)
    assert isinstance(view_of(config, terminal, plain=False), Screen)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(view_of(config, Console(file=io.StringIO(), force_terminal=True), plain=False), Lines)


def test_lines_come_once_per_tenth(tmp_path: Path) -> None:
    file = io.StringIO()
    lines = Lines(configuration(), Console(file=file, width=40))

    with lines:
        trade(tmp_path, lines.watch)

    found = file.getvalue().splitlines()
    assert [line[:4] for line in found] == [f"{tenth * 10:3d}%" for tenth in range(11)]
    assert all(" equity " in line and " UTC " in line for line in found)


def test_a_screen_draws_eight_times_a_second_at_most(moment: Moment) -> None:
    now = [0.0]
    screen, drawn = pictured(moment, lambda: now[0])

    with screen:
        for _ in range(1000):
            screen.watch(moment)
            now[0] += 0.001

    assert len(drawn) == 8


def test_a_slow_terminal_is_drawn_less_often(moment: Moment) -> None:
    now = [0.0]
    screen, drawn = pictured(moment, lambda: now[0], lambda: now.__setitem__(0, now[0] + 0.5))

    with screen:
        while now[0] < 100:
            screen.watch(moment)
            now[0] += 0.01

    assert 9 <= len(drawn) <= 11


def pictured(
    moment: Moment, clock: Callable[[], float], cost: Callable[[], None] = lambda: None
) -> tuple[Screen, list[Text]]:
    """Return a screen whose pictures are counted and take as long as `cost` makes them."""
    drawn: list[Text] = []

    class Counted(Picture):
        def draw(self, moment: Moment, width: int, height: int) -> Text:
            drawn.append(super().draw(moment, width, height))
            cost()
            return drawn[-1]

    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    screen = Screen(configuration(), terminal, clock)
    screen._picture = Counted(configuration())
    return screen, drawn


COLUMNS = (Column("Name"), Column("value", right=True), Column("often", rank=1), Column("rarely", rank=2))


def test_columns_of_the_highest_rank_go_first() -> None:
    grid = Grid(COLUMNS)
    row = [("a", ""), ("1", ""), ("o", ""), ("r", "")]

    widths = {width: grid.lines([row], width)[0].plain.split() for width in (40, 20, 12, 3)}

    assert widths[40] == ["Name", "value", "often", "rarely"]
    assert widths[20] == ["Name", "value", "often"]
    assert widths[12] == ["Name", "value"]
    assert cell_len(grid.lines([row], 3)[1].plain) <= 3


def test_a_column_that_holds_nothing_is_left_out_until_it_does() -> None:
    grid = Grid(COLUMNS)

    empty = grid.lines([[("a", ""), ("1", ""), ("", ""), ("", "")]], 60)[0].plain
    later = grid.lines([[("a", ""), ("1", ""), ("x", ""), ("", "")]], 60)[0].plain
    after = grid.lines([[("a", ""), ("1", ""), ("", ""), ("", "")]], 60)[0].plain

    assert "often" not in empty
    assert "often" in later
    assert after == later


def test_a_shorter_number_moves_nothing() -> None:
    grid = Grid(COLUMNS[:2])

    before = grid.lines([[("a", ""), ("12,345.67", "")]], 40)[1].plain
    after = grid.lines([[("a", ""), ("9.5", "")]], 40)[1].plain

    assert len(before) == len(after)
    assert after.endswith("      9.5")


def test_rows_that_are_left_out_are_announced() -> None:
    heading = Grid(COLUMNS).lines([[("a", ""), ("1", ""), ("", ""), ("", "")]], 60, total=50)[0].plain

    assert heading.startswith("Name (1 of 50)")


@pytest.mark.parametrize(
    ("values", "width", "shown"),
    [
        ([], 5, ""),
        ([1.0], 5, "▄"),
        ([3.0, 3.0], 5, "▄▄"),
        ([1.0, 2.0, 3.0], 2, "▁█"),
        ([1.0, float("nan"), float("inf"), 2.0], 5, "▁█"),
        ([1.0, 2.0], 0, ""),
        ([-5.0, 0.0, 5.0], 3, "▁▅█"),
    ],
)
def test_a_spark_stretches_from_the_lowest_to_the_highest(
    values: list[float], width: int, shown: str
) -> None:
    assert spark(values, width) == shown


def test_a_thinned_curve_keeps_its_end() -> None:
    values = [float(number) for number in range(1000)]

    found = thinned(values, 60)

    assert len(found) <= 60
    assert found[-1] == 999
    assert thinned(values[:10], 60) == values[:10]
    assert thinned([], 60) == []


@pytest.mark.parametrize(
    ("share", "filled"), [(-1.0, 0), (0.0, 0), (0.5, 5), (1.0, 10), (7.0, 10), (float("nan"), 10)]
)
def test_a_meter_never_leaves_its_cells(share: float, filled: int) -> None:
    text = meter(share, 10).plain

    assert len(text) == 10
    assert text.count("━") == filled


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (0, "full speed"), (1, "real time"), (86_400, "1 day a second"), (7_200, "2 hours a second"), (864e7, "100,000 days a second"),
        (120, "2 minutes a second"), (5, "5 seconds a second"), (0.5, "0.5 seconds a second"),
    ],
)  # fmt: skip
def test_a_speed_is_said_in_words(speed: float, words: str) -> None:
    assert pace(speed) == words


def test_a_line_is_due_soon_after_the_feeds_are_trusted_otherwise(moment: Moment) -> None:
    now, file = [100.0], io.StringIO()
    lines = Lines(configuration(), Console(file=file, width=200), lambda: now[0])
    told = []
    for at, feeds in (
        (0.0, "2 stale"),
        (4.9, "2 stale (No connection)"),
        (5.0, "2 stale (No connection)"),
        (50.0, ""),
    ):
        now[0] = 100.0 + at
        lines.watch(replace(moment, feeds=feeds or "2 stale (No connection)"))
        told.append(file.getvalue().count("\n"))

    assert told == [1, 1, 2, 2]
    assert "No connection" in file.getvalue().splitlines()[-1]
