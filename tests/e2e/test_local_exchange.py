"""The local exchange as a process of its own, and the demo that trades on it, as a person runs them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import aiohttp
import pytest

from abidance.journal.store import read
from abidance.model.market import BarSlice

pytestmark = pytest.mark.e2e

PROGRAM = [sys.executable, "-m", "abidance.testing.exchange"]
# Ctrl-C must reach the program, whatever has started the tests: a shell's background job would ignore it.
INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from abidance.cli.main import main; main()"
)


def started(*flags: str) -> tuple["subprocess.Popen[str]", dict[str, tuple[str, str]]]:
    process = subprocess.Popen(
        [*PROGRAM, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    places = {}
    while (line := process.stdout.readline().split()) != ["ready"]:
        assert line, process.communicate()[1]
        places[line[0]] = (line[1], line[2])
    return process, places


def bars_in(folder: Path) -> int:
    journals = list(folder.glob("live-*/journal.abj"))
    return sum(isinstance(each.event, BarSlice) for each in read(journals[0]).records) if journals else 0


def asked(url: str) -> object:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_all_five_venues_run_in_one_process_until_their_input_is_closed():
    venues = ["BINANCE", "BYBIT", "KRAKEN", "KUCOIN", "MEXC"]
    process, places = started("--venue", *venues, "-p", "BTC/USDT,BTC/USDT:USDT", "--until-closed")

    ladders = [
        asked(f"{places['BINANCE'][0]}/fapi/v1/depth?symbol=BTCUSDT"),
        asked(f"{places['BYBIT'][0]}/v5/market/orderbook?category=linear&symbol=BTCUSDT"),
        asked(f"{places['KRAKEN'][0]}/0/public/Depth?pair=XBTUSDT"),
        asked(f"{places['KUCOIN'][0]}/api/v1/market/orderbook/level2_20?symbol=BTC-USDT"),
        asked(f"{places['MEXC'][0]}/api/v3/depth?symbol=BTCUSDT"),
    ]
    process.communicate(timeout=60)

    assert list(places) == venues
    assert all("bids" in json.dumps(each) or '"b"' in json.dumps(each) for each in ladders)
    assert process.returncode == 0


def test_it_can_follow_the_bundled_prices_of_a_coin():
    process, places = started("-p", "SOL/USDT", "--bars", "--hour", "10", "--until-closed")

    rows = asked(f"{places['BINANCE'][0]}/api/v3/klines?symbol=SOLUSDT&interval=1m&limit=100")
    process.communicate(timeout=60)

    assert isinstance(rows, list)
    assert len(rows) == 100
    assert all(5.0 < float(row[4]) < 60.0 for row in rows)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-p", "NOPE/USDT"), "not known"),
        (("--bars", "-p", "BTC/USDT,XRP/USD"), "not known"),
        (("-p", ""), "one venue"),
        (("--venue", "KRAKEN", "-p", "BTC/USDT:USDT"), "one venue"),
    ],
)
def test_what_cannot_be_played_is_refused_in_words(flags: tuple[str, ...], said: str):
    done = subprocess.run([*PROGRAM, *flags], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor time is read from /proc")
async def test_a_second_of_processor_time_is_enough_for_ten_thousand_messages():
    process, places = started("-p", "BTC/USDT,ETH/USDT,SOL/USDT,XRP/USDT", "--pace", "3000", "--until-closed")
    topics = [
        f"{coin}usdt@{kind}"
        for coin in ("btc", "eth", "sol", "xrp")
        for kind in ("trade", "bookTicker", "depth@100ms")
    ]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{places['BINANCE'][1]}/stream") as socket,
    ):
        await socket.send_json({"method": "SUBSCRIBE", "params": topics, "id": 1})
        for _ in range(1000):
            await socket.receive()
        spent = processor_seconds(process.pid)
        messages = 20_000
        for _ in range(messages):
            await socket.receive()
        spent = processor_seconds(process.pid) - spent
    process.communicate(timeout=60)

    assert messages / spent > 10_000


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_demo_trades_on_a_local_exchange_and_leaves_nothing_running(tmp_path: Path):
    environment = {**os.environ, "HOME": str(tmp_path), "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "demo", "--live-like"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    line = ""
    while not line.startswith("Exchange:"):
        line = process.stdout.readline()
        assert line, process.communicate()[1]
    url = line.split()[1]
    assert asked(f"{url}/api/v3/ping") == {}
    deadline = time.monotonic() + 60
    while bars_in(tmp_path / ".abidance" / "demo") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.2)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 0, err
    assert "fills" in out
    assert "equity went from 10,000.00" in out
    with pytest.raises(urllib.error.URLError):
        asked(f"{url}/api/v3/ping")
    assert not list(tmp_path.glob(".abidance/demo/live-*"))
