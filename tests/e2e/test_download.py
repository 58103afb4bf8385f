"""`abidance download-data` and `abidance data` as typed, against a local exchange."""

import asyncio
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from abidance.market.store import BarStore
from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange import Fault, Faults, LocalExchange, Market, Wrong, generated
from tests.e2e.program import Program, assert_refused
from tests.postgres import server

pytestmark = pytest.mark.e2e

MINUTE = 60 * SECOND_NS
NOW = 1_717_200_000 * SECOND_NS + 30 * SECOND_NS  # 2024-06-01 00:00:30
MEXC = "BTC/USDT@MEXC"


@pytest.fixture
def abidance(tmp_path: Path) -> Program:
    return Program(tmp_path)


@contextmanager
def exchange(abidance: Program, *markets: Market, faults: Faults | None = None) -> Iterator[LocalExchange]:
    """Open a local exchange on a thread of its own, and tell the program its address."""
    opened, closing = threading.Event(), threading.Event()
    venue = markets[0].instrument.venue
    there = LocalExchange(markets, start=NOW, faults=faults)

    async def serve() -> None:
        async with there:
            abidance.file("here.toml", f'[feed.addresses.{venue}]\nrest_url = "{there.rest_url}"\n')
            opened.set()
            await asyncio.to_thread(closing.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert opened.wait(20)
    try:
        yield there
    finally:
        closing.set()
        thread.join()


def typed(*more: str, days: int = 1) -> tuple[str, ...]:
    first = {1: "20240531", 4: "20240528"}[days]
    return ("download-data", "-c", "here.toml", "--timerange", f"{first}-20240601", *more)


def assert_true(abidance: Program, market: Market, first: int, last: int) -> None:
    truth = market.bars("1m", first, last, filled=True)
    found = BarStore(abidance.userdir / "data").read(market.instrument.id, "1m")
    assert found.ts.tolist() == [bar.ts for bar in truth]
    assert found.close.tolist() == pytest.approx([bar.close for bar in truth], rel=1e-12)


def test_pairs_and_timeframes_are_downloaded_and_listed(abidance: Program) -> None:
    markets = [generated(f"{coin}/USDT@BINANCE", 7, NOW, past_seconds=3 * 3600) for coin in ("BTC", "ETH")]
    with exchange(abidance, *markets):
        done = abidance(
            *typed("-p", "BTC/USDT", "ETH/USDT", "-i", "1m", "5m", "--venue", "binance", "--trades")
        )
        again = abidance(*typed("-p", "BTC/USDT,ETH/USDT", "-i", "1m,5m"))

    listed = abidance("list-data")
    assert (done.code, done.err, again.code) == (0, "", 0)
    assert "BTC/USDT@BINANCE 1m: 180 new." in done.out
    assert "ETH/USDT@BINANCE 5m: 36 new." in done.out
    assert again.out.count(": 0 new.") == 4
    assert "ETH/USDT@BINANCE" in listed.out


def test_a_download_that_was_killed_is_gone_on_with_and_nothing_is_half_written(abidance: Program) -> None:
    market = generated(MEXC, 7, NOW, past_seconds=4 * 86_400)
    stuck = Fault(Wrong.SLOW, "klines", after=11, seconds=20.0)
    command = abidance.command(*typed("-p", MEXC, "-i", "1m", days=4))
    with exchange(abidance, market, faults=Faults([stuck])) as there:
        with subprocess.Popen(command, cwd=abidance.home, env=abidance.environ) as process:
            deadline = time.monotonic() + 50
            while not stuck.hits and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        kept = len(BarStore(abidance.userdir / "data").read(MEXC, "1m"))
        asked = len([each for each in there.requests if "klines" in each.path])

        done = abidance(*typed("-p", MEXC, "-i", "1m", days=4))

        later = len([each for each in there.requests if "klines" in each.path]) - asked
    first = NOW // MINUTE * MINUTE - 4 * 1440 * MINUTE
    assert stuck.hits == 1
    assert kept == 5_000
    assert (done.code, done.err) == (0, "")
    assert later <= 3
    assert_true(abidance, market, first, NOW // MINUTE * MINUTE)
    assert not list(abidance.userdir.rglob("*.writing"))


def test_ctrl_c_keeps_what_came_and_leaves_nothing_half_written(abidance: Program) -> None:
    market = generated(MEXC, 7, NOW, past_seconds=86_400)
    stuck = Fault(Wrong.SLOW, "klines", after=2, seconds=20.0)
    command = abidance.command(*typed("-p", MEXC, "-i", "1m"))
    with (
        exchange(abidance, market, faults=Faults([stuck])),
        subprocess.Popen(
            command, cwd=abidance.home, env=abidance.environ, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        deadline = time.monotonic() + 50
        while not stuck.hits and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Interrupted" in complaint
    assert "Traceback" not in complaint
    assert len(BarStore(abidance.userdir / "data").read(MEXC, "1m")) == 1_000
    assert not list(abidance.userdir.rglob("*.writing"))


def test_what_cannot_be_downloaded_is_refused_in_words(abidance: Program) -> None:
    assert_refused(abidance("download-data"), 2)
    assert_refused(abidance("download-data", "-p", "BTC/USDT", "-i", "7x"), 2)
    assert_refused(abidance("download-data", "-p", "BTC/USDT", "--funding"), 2)
    assert_refused(abidance("download-data", "-p", "BTC/USDT", "--timerange", "21000101-"), 2)
    assert_refused(abidance("download-data", "--from-files", "nowhere"), 2)


def test_archives_are_brought_in_from_files(abidance: Program) -> None:
    abidance.file(
        "archive/BTCUSDT-1m-2024-01.csv",
        "1704067200000,1.0,2.0,0.5,1.5,10.0,1704067259999,15.0,7,5.0,7.5,0\n",
    )
    abidance.file("archive/ETHUSDT-1m-2024-01.csv", "no bars\n")

    done = abidance("download-data", "--from-files", "archive", "--venue", "BINANCE")

    assert done.code == 4
    assert "1 bars of BTC/USDT@BINANCE 1m, 1 new." in done.out
    assert "ETHUSDT-1m-2024-01.csv: " in done.out
    assert BarStore(abidance.userdir / "data").holds("BTC/USDT@BINANCE", "1m")


def test_the_store_answers_questions_and_cannot_be_changed_by_them(abidance: Program) -> None:
    rows = "".join(f"{1_704_067_200_000 + i * 3_600_000},1.0,2.0,0.5,1.{i},10.0\n" for i in range(9))
    abidance.file("bars.csv", "ts,open,high,low,close,volume\n" + rows)
    abidance("import-data", "bars.csv", "--instrument", "BTC/USDT@BINANCE", "-i", "1h")

    shown = abidance("data", "sql", "select count(*) as n, max(close) as top from binance_bars")
    written = abidance("data", "sql", "select ts, close from bars order by ts", "-o", "answer.json")
    before = abidance.files()

    assert shown.code == written.code == 0
    assert "9" in shown.out
    assert "1.8" in shown.out
    assert len(json.loads((abidance.home / "answer.json").read_text())) == 9
    for question in (
        "drop view bars",
        "selekt",
        "copy bars to 'x.csv'",
        "select * from read_csv('/etc/passwd')",
    ):
        assert_refused(abidance("data", "sql", question), 2)
    assert abidance.files() == before


def test_the_store_can_be_a_database(abidance: Program) -> None:
    market = generated("BTC/USDT@BINANCE", 7, NOW, past_seconds=2 * 3600)
    with server() as url, exchange(abidance, market):
        env = {"ABIDANCE_STORE": url}

        done = abidance(*typed("-p", "BTC/USDT", "-i", "1m"), env=env)
        asked = abidance("data", "sql", "select count(*) from bars where timeframe = '1m'", env=env)

    assert (done.code, done.err) == (0, "")
    assert "120" in asked.out
    assert not (abidance.userdir / "data").exists()


@pytest.mark.parametrize("venue", ["BINANCE", "BYBIT", "MEXC"])
def test_trading_rules_are_asked_at_the_address_of_the_configuration(abidance: Program, venue: str) -> None:
    market = generated(f"BTC/USDT@{venue}", 7, NOW, past_seconds=60)
    with exchange(abidance, market) as there:
        done = abidance("refresh-instruments", venue.lower(), "-c", "here.toml")
        asked = len(there.requests)

    known = abidance("show-instrument", market.instrument.id)
    assert (done.code, done.err) == (0, "")
    assert f"{venue}: 1 instruments, 1 of them new or changed." in done.out
    assert asked
    assert f"{market.instrument.tick:f}" in known.out
