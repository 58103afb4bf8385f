"""`abidance demo --live-like`: a paper bot on the live path, against a local exchange in a process of its own.

The exchange is the test kit's, which nothing that ships may import: it is started as anybody would start it by hand,
and it ends when we do.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from abidance.cli.trade import Stop
from abidance.model.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from abidance.backtest.result import BacktestResult
    from abidance.run.config import RunConfig

SECONDS = 60.0
"""How long the bot is watched."""
HOUR = 20
"""In how many seconds an hour of real prices passes."""


def live_like(console: "Console", folder: Path) -> None:
    """Run a bot on a local exchange for a minute, and tell what came of it."""
    console.print(
        f"A local exchange in a process of its own plays real prices of three coins, an hour in {HOUR} seconds, and speaks"
        " Binance's REST and WebSocket. A paper bot connects to it as it would to the real one. No account, no network."
        " Ctrl-C ends it earlier."
    )
    with exchange() as (rest_url, stream_url):
        console.print(f"\nExchange:  {rest_url}  {stream_url}\n", soft_wrap=True)
        result = _trade(_settings(folder, rest_url, stream_url), console, folder)
    if result is None:
        console.print("It was stopped before a bar had closed: there is nothing to tell.")
        return
    sells = sum(1 for fill in result.fills if fill.side.value == "sell")
    console.print(
        f"{len(result.fills)} fills, {sells} of them sales; equity went from {result.equity[0]:,.2f} to"
        f" {result.equity[-1]:,.2f} {result.currency}. Its settings: {folder / 'demo_live.toml'}",
        soft_wrap=True,
    )
    console.print(
        f"To run such an exchange by hand: {Path(sys.executable).name} -m abidance.testing.exchange --seed 7",
        soft_wrap=True,
    )


@contextmanager
def exchange() -> Iterator[tuple[str, str]]:
    """Start the local exchange and yield its addresses, REST and WebSocket; it ends with the block.

    Raises DataError when it does not start.
    """
    command = [
        sys.executable, "-m", "abidance.testing.exchange", "--pairs", "BTC/USDT,ETH/USDT,SOL/USDT", "--bars",
        "--hour", str(HOUR), "--until-closed",
    ]  # fmt: skip
    # Its own session: Ctrl-C is for the bot, which then lets the exchange go.
    with subprocess.Popen(  # noqa: S603 (our own interpreter and module)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            first, ready = process.stdout.readline().split(), process.stdout.readline().strip()
            if ready != "ready":
                raise DataError("The local exchange did not start.", "Its own words stand above this line.")
            yield first[1], first[2]
        finally:
            process.terminate()


def _settings(folder: Path, rest_url: str, stream_url: str) -> "RunConfig":
    from abidance.backtest.export import write_whole
    from abidance.run.config import load

    text = files("abidance").joinpath("data", "demo_live.toml").read_text(encoding="utf-8")
    where = f'\n[feed.addresses.BINANCE]\nrest_url = "{rest_url}"\nstream_url = "{stream_url}"\n'
    return load([write_whole(folder / "demo_live.toml", (text + where).encode())], {}, {})


def _trade(config: "RunConfig", console: "Console", folder: Path) -> "BacktestResult | None":
    from abidance.cli.view import view_of
    from abidance.market.store import open_tables
    from abidance.run.live import run_live

    until = time.monotonic() + SECONDS
    with tempfile.TemporaryDirectory(prefix="live-", dir=folder) as place:
        run = Path(place)
        with Stop() as stop, view_of(config, console, plain=False) as view:
            paper = run_live(
                config,
                open_tables(run / "data"),
                None,
                run,
                lambda: stop() or time.monotonic() > until,
                view.watch,
            )
        with paper:
            try:
                return paper.result()
            except DataError:
                return None
