"""Downloads that are started over the API, by a server in a process of its own, from a local exchange."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from abidance.market.store import BarStore
from abidance.testing.exchange import Fault, Faults, Market, Wrong, generated
from tests.e2e.program import Program
from tests.e2e.test_download import MEXC, MINUTE, NOW, assert_true, exchange
from tests.e2e.test_serve import client_of, serving, until

pytestmark = pytest.mark.e2e
BTC, ROUTE = "BTC/USDT@BINANCE", "/api/v1/downloads"
WISH = {"instruments": [BTC], "timeframes": ["1m"], "timerange": "20240528-20240601"}


@pytest.fixture
def abidance(tmp_path: Path) -> Program:
    return Program(tmp_path)


@contextmanager
def served(program: Program, market: Market, faults: Faults | None = None) -> Iterator[httpx2.Client]:
    """Open an exchange and a server that knows its address from the user's own configuration."""
    with exchange(program, market, faults=faults):
        program.userdir.mkdir(exist_ok=True)
        (program.home / "here.toml").rename(program.userdir / "config.toml")
        with serving(program, "--demo") as (address, _), client_of(address) as client:
            yield client


def over(client: httpx2.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of a download and return it."""

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"{ROUTE}/{job['id']}").json()
        return found if found["state"] not in ("queued", "running") else None

    found: dict[str, Any] = until(ended)
    return found


def test_a_download_brings_what_the_venue_has_and_is_seen_wherever_data_is_shown(abidance: Program) -> None:
    market = generated(BTC, 7, NOW, past_seconds=3 * 3600)
    with served(abidance, market) as client:
        done = over(client, client.post(ROUTE, json=WISH).json())
        again = over(client, client.post(ROUTE, json=WISH).json())
        wrong = over(client, client.post(ROUTE, json={**WISH, "instruments": ["NONE/USDT@BINANCE"]}).json())
        stored = {"instrument": BTC, "timeframe": "1m"}
        held = [each for each in client.get("/api/v1/data").json() if each["instrument"] == BTC]
        days = client.get("/api/v1/data/calendar", params=stored).json()
        holes = client.get("/api/v1/data/gaps", params=stored).json()["items"]
        bars = client.get("/api/v1/bars", params=stored).json()
        listed = client.get(ROUTE).json()["items"]

    assert (done["state"], done["progress"], done["error"]) == ("done", 1.0, ""), done
    assert [(each["what"], each["added"], each["problem"]) for each in done["parts"]] == [
        (f"{BTC} 1m", 180, "")
    ]
    assert [each["added"] for each in again["parts"]] == [0]
    assert wrong["state"] == "failed"
    assert "NONE/USDT" in wrong["error"]
    assert [each["rows"] for each in held if each["timeframe"] == "1m"] == [180]
    assert (sum(days["rows"]), holes) == (180, [])
    assert_true(abidance, market, NOW // MINUTE * MINUTE - 180 * MINUTE, NOW // MINUTE * MINUTE)
    assert bars["close"] == BarStore(abidance.userdir / "data").read(BTC, "1m").close.tolist()
    assert [each["id"] for each in listed] == [each["id"] for each in (wrong, again, done)]
    assert b"download.start" in (abidance.userdir / "audit.log").read_bytes()


def test_a_download_that_is_ended_leaves_whole_files_and_is_gone_on_with(abidance: Program) -> None:
    market = generated(MEXC, 7, NOW, past_seconds=4 * 86_400)
    stuck = Fault(Wrong.SLOW, "klines", after=11, seconds=20.0)
    with served(abidance, market, Faults([stuck])) as client:
        job = client.post(ROUTE, json={**WISH, "instruments": [MEXC]}).json()
        until(lambda: stuck.hits)
        seen = client.get(f"{ROUTE}/{job['id']}").json()
        ended = client.delete(f"{ROUTE}/{job['id']}").json()
        late = client.delete(f"{ROUTE}/{job['id']}")
        half = len(BarStore(abidance.userdir / "data").read(MEXC, "1m"))
        early = client.post(f"{ROUTE}/{client.post(ROUTE, json=WISH).json()['id']}/again")
        rest = over(client, client.post(f"{ROUTE}/{job['id']}/again").json())

    assert (seen["state"], 0 < seen["progress"] < 1) == ("running", True)
    assert ended["state"] == "cancelled"
    assert (late.status_code, late.json()["detail"]) == (422, f"The download {job['id']} is over already.")
    assert (early.status_code, early.json()["code"]) == (409, "busy")
    assert rest["id"] != job["id"]
    assert (half, rest["state"]) == (5_000, "done"), rest
    first = NOW // MINUTE * MINUTE - 4 * 1440 * MINUTE
    assert_true(abidance, market, first, NOW // MINUTE * MINUTE)
    assert not list(abidance.userdir.rglob("*.writing"))
