"""The page: self-contained, small, whole, and deaf to hostile names."""

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abidance.backtest.breakdown import by_exit_reason, by_instrument, costs_of, execution_of, metrics_of
from abidance.backtest.report import CANDLES, EQUITY_POINTS, render_report, write_report
from abidance.backtest.result import BacktestResult
from abidance.market.bars import Bars
from abidance.model.order import OrderState
from abidance.model.outcome import Notice
from tests.chromium import CHROMIUM, missing
from tests.lacking import needs
from tests.unit.backtest.results import (
    BTC,
    ETH,
    HOUR,
    START,
    make_bars,
    make_order,
    make_refusal,
    make_request,
    make_result,
    make_trip,
)

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\u2028"
)
VOID = {"meta", "link", "input", "br", "img", "path"}


class Page(HTMLParser):
    """What a browser would make of the text: elements, scripts and visible words."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def blocks(self) -> dict[str, Any]:
        return {str(a["id"]): json.loads(t) for a, t in self.scripts if a.get("type") == "application/json"}

    @property
    def code(self) -> Iterator[str]:
        return (text for attributes, text in self.scripts if "type" not in attributes)


def page_of(result: BacktestResult, command: str = "") -> Page:
    page = Page(render_report(result, command=command))
    assert page.open == []
    return page


def hostile_result() -> BacktestResult:
    bars = make_bars(HOSTILE, 100)
    order = make_order(request=make_request(strategy=HOSTILE, tag=HOSTILE))
    trip = make_trip(instrument=HOSTILE, strategy=HOSTILE, tags=(HOSTILE,), exit_reason=HOSTILE)
    return make_result(
        100,
        bars=[bars],
        currency=HOSTILE,
        benchmark_name=HOSTILE,
        strategy_equity={HOSTILE: np.zeros(100)},
        round_trips=[trip],
        orders=[order],
        refusals=[make_refusal(reason=HOSTILE)],
        notices=[Notice(START, HOSTILE, HOSTILE, HOSTILE, HOSTILE)],
        config={HOSTILE: HOSTILE},
        fingerprint=HOSTILE,
        version=HOSTILE,
    )


def test_the_page_loads_nothing_from_anywhere() -> None:
    page = page_of(make_result())

    loads = [
        (tag, name, value) for tag, a in page.elements for name, value in a.items() if name in {"src", "href"}
    ]
    assert {value for _, _, value in loads if not str(value).startswith("#")} == {"data:,"}
    assert not re.search(
        r"@import|url\(",
        "".join(re.findall(r"<style>(.*?)</style>", render_report(make_result()), re.DOTALL)),
    )


def test_only_the_pages_own_scripts_may_run() -> None:
    page = page_of(make_result())
    policy = next(
        a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"
    )

    allowed = re.findall(r"'(sha256-[^']+)'", str(policy))

    assert str(policy).startswith("default-src 'none'; script-src 'sha256-")
    assert allowed == [
        "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in page.code
    ]
    assert len(allowed) == 3


def test_hostile_names_stay_text() -> None:
    page = page_of(hostile_result(), command=HOSTILE)
    plain = page_of(make_result(100, bars=[make_bars(size=100)]))

    assert len(list(page.code)) == len(list(plain.code)) == 3
    assert not [a for tag, a in page.elements if tag == "img" or "onerror" in a]
    assert page.blocks["candles-0"]["trips"][0][6] == HOSTILE
    assert page.blocks["curve"]["benchmark_name"] == HOSTILE
    assert "document.title='owned'" in page.text


def test_the_blocks_of_data_hold_no_markup() -> None:
    text = render_report(hostile_result())

    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL):
        assert not set(block) & set("<>&\u2028\u2029")


def test_text_that_utf_8_cannot_hold_is_written_anyway(tmp_path: Path) -> None:
    result = make_result(
        50, round_trips=[make_trip(strategy="\ud800", tags=("\udcff",))], config={"a": "\ud800"}
    )

    path = write_report(result, tmp_path / "report.html")

    assert path.read_text("utf-8").endswith("</html>")


def test_every_part_is_there() -> None:
    page = page_of(make_result(), command="abidance backtest -s trend")

    for words in (
        "Final equity", "Buy and hold", "Monthly returns", "Jan Feb Mar", "Entries and exits", "By strategy",
        "By instrument", "By exit reason", "trailing stop", "Deepest drawdowns", "Share of profit before costs",
        "Execution", "max_exposure", "60 % is above 50 %.", "Lost 5 % since midnight.", "How to reproduce",
        "abidance backtest -s trend", "strategies[0].parameters.fast", "f" * 64, "d" * 64, "0.1.0",
        "Copyright (c) 2022 Leon Sorokin", "TradingView",
    ):  # fmt: skip
        assert words in page.text, words


def test_every_figure_stands_beside_that_of_the_benchmark() -> None:
    result = make_result()
    run, benchmark = metrics_of(result)
    text = page_of(result).text

    assert f"{run.final_equity:,.2f}" in text
    assert f"{benchmark.final_equity:,.2f}" in text
    assert f"{run.sharpe:,.2f}".replace("-", "−") in text
    assert f"{benchmark.sharpe:,.2f}".replace("-", "−") in text


def test_a_long_run_over_many_coins_stays_small_and_keeps_its_extremes() -> None:
    size = 22_000
    coins = [make_bars(f"C{i}/USDT@BINANCE", size, i) for i in range(7)]
    trips = [make_trip(instrument=coins[i % 7].instrument, hour=1 + i * 4, hours=3) for i in range(5_000)]
    result = make_result(size, bars=coins, round_trips=trips)

    text = render_report(result)
    blocks = Page(text).blocks

    assert len(text.encode()) < 3_000_000
    curve = blocks["curve"]
    assert len(curve["t"]) <= EQUITY_POINTS
    assert max(curve["equity"]) == pytest.approx(result.equity.max(), rel=1e-6)
    assert min(curve["drawdown"]) == pytest.approx(100 * metrics_of(result)[0].max_drawdown, rel=1e-6)
    assert (curve["t"][0], curve["t"][-1]) == (result.ts[0] // 10**9, result.ts[-1] // 10**9)
    for i, coin in enumerate(coins):
        candles = blocks[f"candles-{i}"]
        assert 2_000 < len(candles["t"]) <= CANDLES
        assert max(candles["h"]) == pytest.approx(coin.high.max(), rel=1e-6)
        assert min(candles["l"]) == pytest.approx(coin.low.min(), rel=1e-6)
        assert candles["c"][-1] == pytest.approx(coin.close[-1], rel=1e-6)
        assert candles["total"] == len(by_trips(trips, coin.instrument))


def test_hundreds_of_instruments_share_the_room_for_candles() -> None:
    coins = [make_bars(f"C{i}/USDT@BINANCE", 3_000, i) for i in range(100)]

    blocks = page_of(make_result(3_000, bars=coins)).blocks

    assert all(300 < len(blocks[f"candles-{i}"]["t"]) <= 500 for i in range(100))


def by_trips(trips: list[Any], instrument: str) -> list[Any]:
    return [trip for trip in trips if trip.instrument == instrument]


def test_few_bars_are_drawn_as_they_are() -> None:
    bars = make_bars(size=100)

    candles = page_of(make_result(100, bars=[bars])).blocks["candles-0"]

    assert candles["t"] == (bars.ts // 10**9).tolist()
    assert candles["step"] == 3_600


def test_a_bar_that_is_not_a_number_is_left_out() -> None:
    whole = make_bars(size=20)
    highs = whole.high.copy()
    highs[3] = np.nan
    bars = Bars(BTC, "1h", whole.ts, (whole.open, highs, whole.low, whole.close, whole.volume))

    candles = page_of(make_result(20, bars=[bars])).blocks["candles-0"]

    assert len(candles["t"]) == 19
    assert all(isinstance(value, float) for value in candles["h"])


def test_an_open_round_trip_has_no_exit_on_the_chart() -> None:
    trips = page_of(make_result()).blocks["candles-1"]["trips"]

    assert trips == [
        [(START + 60 * HOUR) // 10**9, 40000.5, None, None, "long", 3.0, "trend", "breakout", ""]
    ]


def test_a_run_without_market_data_says_so() -> None:
    empty = np.empty(0)
    result = make_result(
        0, bars=[], equity=empty, exposure=empty, benchmark=empty, strategy_equity={}, round_trips=[], fills=[],
        orders=[], refusals=[], notices=[], config={},
    )  # fmt: skip

    text = page_of(result).text

    assert "No market data was replayed" in text
    assert "The risk rules refused no order." in text


@pytest.mark.parametrize("size", [1, 2])
def test_the_shortest_runs_have_a_page_too(size: int) -> None:
    assert "Final equity" in page_of(make_result(size, round_trips=[])).text


def test_ruin_is_called_ruin() -> None:
    equity = np.r_[np.full(50, 10_000.0), np.full(50, -5.0)]

    assert "Ruined" in page_of(make_result(100, equity=equity)).text


def test_refused_entries_are_named_when_nothing_was_traded() -> None:
    result = make_result(round_trips=[], fills=[], orders=[], refusals=[make_refusal()] * 3)

    assert "the risk rules refused 3 orders and none was filled" in page_of(result).text


def test_costs_are_a_share_of_the_profit_before_them() -> None:
    equity = np.full(100, 10_060.0)
    result = make_result(100, equity=equity, costs={"fees": 30.0, "slippage": 15.0, "funding": -5.0})

    costs = costs_of(result, metrics_of(result)[0])

    assert (costs.total, costs.gross, costs.share_of_gross) == (40.0, 100.0, 0.4)


def test_execution_weighs_slippage_by_value_and_counts_what_did_not_fill() -> None:
    good = make_order(price="40040")
    missed = make_order(filled="0", state=OrderState.EXPIRED, ts_first_fill=None)

    row = execution_of(make_result(orders=[good, missed]))[0]

    assert (row.purpose, row.orders, row.filled, row.unfilled, row.fill_share) == ("entry", 2, 1, 1, 0.5)
    assert row.slippage == pytest.approx(0.001)
    assert row.delay_hours == pytest.approx(1.0)


def test_groups_hold_what_never_traded_and_leave_open_trips_out_of_exits() -> None:
    result = make_result(round_trips=[make_trip("5"), make_trip("9", instrument=ETH, hours=None)])

    assert {name: (s.trades, s.open_trades) for name, s in by_instrument(result).items()} == {
        BTC: (1, 0),
        ETH: (0, 1),
    }
    assert list(by_exit_reason(result)) == ["trailing_stop"]


def test_the_licences_travel_with_the_charts() -> None:
    text = render_report(make_result())

    assert "Permission is hereby granted, free of charge" in text
    assert "Apache License" in text
    assert "attributionLogo: true" in text


@pytest.mark.slow
@needs(*missing(CHROMIUM, Path(__file__), has_playwright=True))
def test_a_browser_draws_the_charts_and_obeys_no_hostile_name(tmp_path: Path) -> None:
    path = write_report(hostile_result(), tmp_path / "report.html")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--virtual-time-budget=4000",
        "--enable-logging=stderr",
        "--dump-dom",
    ]

    done = subprocess.run(
        [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count("<canvas") >= 2
    assert "<title>owned" not in done.stdout
