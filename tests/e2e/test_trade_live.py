"""`abidance trade --feed live` as a person runs it, against an exchange on loopback in real time."""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from abidance.cli.options import data_folder
from abidance.journal.store import read
from abidance.kernel.clock import WallClock
from abidance.market.store import Place, open_tables
from abidance.model.market import DataKind, FeedState, FeedStatus, Quote
from abidance.run.bot import JOURNAL, LOG
from abidance.run.live import HISTORY
from abidance.testing.exchange import LocalExchange, generated

BTC = "BTC/USDT@BINANCE"
PATIENCE = 60.0

pytestmark = pytest.mark.e2e


def configured(folder: Path, exchange: LocalExchange) -> Path:
    path = folder / "live.toml"
    path.write_text(
        f"""
name = "live"
instruments = ["{BTC}"]
timeframe = "1m"

[[strategies]]
strategy = "EmaCross"

[feed]
record = true

[feed.addresses.BINANCE]
rest_url = "{exchange.rest_url}"
stream_url = "{exchange.stream_url}"
"""
    )
    return path


async def trade(folder: Path, *flags: str) -> asyncio.subprocess.Process:
    program = [sys.executable, "-m", "abidance", "trade", "--userdir", str(folder), "--plain", *flags]
    return await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


def quotes_in(folder: Path) -> int:
    journal = folder / "runs" / "live" / JOURNAL
    return sum(isinstance(r.event, Quote) for r in read(journal).records) if journal.exists() else 0


async def until_quotes(folder: Path, more_than: int, bot: asyncio.subprocess.Process) -> None:
    """Return once so many quotes are on record."""
    deadline = time.monotonic() + PATIENCE
    while quotes_in(folder) <= more_than:
        assert bot.returncode is None, (await bot.communicate())[1].decode()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def test_a_bot_trades_on_live_data_stops_on_demand_and_goes_on(tmp_path: Path) -> None:
    start = time.time_ns()
    market = generated(BTC, 3, start, past_seconds=1_200)
    async with LocalExchange([market], start=start, clock=WallClock()) as exchange:
        config = configured(tmp_path, exchange)
        counts = [0]
        for _ in range(2):
            bot = await trade(tmp_path, "--feed", "live", "-c", str(config))
            await until_quotes(tmp_path, counts[-1] + 20, bot)
            bot.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(bot.communicate(), PATIENCE)
            counts.append(quotes_in(tmp_path))
            assert bot.returncode == 0, err.decode()
            assert "streams certified" in out.decode() or "No bar of" in out.decode()

    folder = tmp_path / "runs" / "live"
    events = [record.event for record in read(folder / JOURNAL).records]
    states = [e.state for e in events if isinstance(e, FeedStatus) and e.kind is DataKind.QUOTES]
    assert states == [FeedState.STALE, FeedState.CERTIFIED] * 2
    times = [event.ts for event in events if event is not None]
    assert max(times) <= time.time_ns()
    assert len(pl.read_parquet(folder / HISTORY)) >= 15
    kept = open_tables(data_folder(tmp_path)).tape(Place(BTC, "quotes"))
    assert len(kept) >= counts[-1]
    told = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    assert [line["resumed"] > 0 for line in told if line["event"] == "started"] == [False, True]


async def test_live_data_has_no_speed(tmp_path: Path) -> None:
    bot = await trade(tmp_path, "--feed", "live", "-s", "EmaCross", "-p", "BTC/USDT", "--speed", "5")

    _, err = await bot.communicate()

    assert bot.returncode == 2
    assert "neither a speed nor a time range" in " ".join(err.decode().split())
