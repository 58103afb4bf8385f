"""`python -m abidance.testing.exchange --seed 7`: run local exchanges by hand, in one process, until Ctrl-C.

It prints one line `VENUE http://... ws://...` for each (with `--fund` another one, `VENUE account KEY SECRET PHRASE`)
and then `ready`, so that whoever started it can read where they are.
"""

import argparse
import asyncio
import sys
from base64 import b64encode
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from decimal import Decimal
from importlib.resources import files

from abidance.kernel.clock import WallClock
from abidance.model.errors import AbidanceError, UsageError
from abidance.model.instrument import MS_NS, SECOND_NS, parse_instrument_id
from abidance.model.market import Bar
from abidance.testing.exchange.accounts import Account
from abidance.testing.exchange.houses import HOUSES
from abidance.testing.exchange.market import Market
from abidance.testing.exchange.server import LocalExchange
from abidance.testing.exchange.stage import generated, guided

_WHAT = (
    "Play venues on loopback: their public REST and WebSocket, over generated markets or real hourly prices."
)
_SAMPLE = "binance_spot_7coins_1h_2023-01_2025-06.parquet"
_PAST_BARS = 1_500


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, open the exchanges and keep them open; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m abidance.testing.exchange", description=_WHAT)
    parser.add_argument(
        "--venue", nargs="+", default=["BINANCE"], choices=sorted(HOUSES), help="which venues"
    )
    parser.add_argument(
        "-p", "--pairs", default="BTC/USDT,ETH/USDT", help="pairs, by commas; BTC/USDT:USDT too"
    )
    parser.add_argument("--seed", type=int, default=7, help="what decides the markets")
    parser.add_argument(
        "--pace", type=float, default=20.0, help="how often somebody acts in each, per second"
    )
    parser.add_argument(
        "--port", type=int, default=0, help="the first venue's port, the others follow; 0 = any"
    )
    parser.add_argument("--bars", action="store_true", help="follow the bundled real hourly prices")
    parser.add_argument("--hour", type=float, default=60.0, help="in how many seconds such an hour passes")
    parser.add_argument("--fund", type=int, default=0, help="open an account with so many USDT at each venue")
    parser.add_argument("--until-closed", action="store_true", help="end when the standard input is closed")
    asked = parser.parse_args(arguments)
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(asked))
    except (AbidanceError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _serve(asked: argparse.Namespace) -> None:
    clock = WallClock()
    start = clock.now() // MS_NS * MS_NS
    async with AsyncExitStack() as stack:
        for at, venue in enumerate(asked.venue):
            markets = [_market(id, asked, start) for id in _ids(asked.pairs, venue)]
            port = asked.port + at if asked.port else 0
            account = _account(venue)
            exchange = LocalExchange(
                markets, start=start, clock=clock, port=port, accounts=[account] if asked.fund else []
            )
            await stack.enter_async_context(exchange)
            sys.stdout.write(f"{venue} {exchange.rest_url} {exchange.stream_url}\n")
            if asked.fund:
                exchange.desk.transfer(account, "USDT", Decimal(asked.fund), start)
                sys.stdout.write(f"{venue} account {account.key} {account.secret} {account.passphrase}\n")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await (asyncio.to_thread(sys.stdin.read) if asked.until_closed else asyncio.Event().wait())


def _account(venue: str) -> Account:
    """Return an account of a venue; the secret is base64, as Kraken wants it."""
    secret = b64encode(f"the secret of {venue.lower()}".encode()).decode()
    return Account(f"key-of-{venue.lower()}", secret, "phrase")


def _ids(pairs: str, venue: str) -> list[str]:
    """Return the instruments of a venue among the pairs; perpetuals are left out where it is played without them."""
    ids = [f"{pair.strip().upper()}@{venue}" for pair in pairs.split(",") if pair.strip()]
    return [id for id in ids if HOUSES[venue].has_perpetuals or parse_instrument_id(id).settle is None]


def _market(id: str, asked: argparse.Namespace, start: int) -> Market:
    if not asked.bars:
        return generated(id, asked.seed, start, pace=asked.pace)
    bars = sample_bars(parse_instrument_id(id).base)
    step = max(MS_NS, int(asked.hour * SECOND_NS) // MS_NS * MS_NS)
    return guided(id, bars, asked.seed, start - start % step, step, past=_PAST_BARS, pace=asked.pace)


def sample_bars(base: str) -> list[Bar]:
    """Return the bundled hourly bars of a coin. Raises UsageError when there are none."""
    import polars as pl

    source = files("abidance").joinpath("data", _SAMPLE)
    frame = pl.read_parquet(source.read_bytes())
    found = frame.filter(pl.col("symbol") == f"{base}-USDT").sort("ts")
    if not len(found):
        raise UsageError(f"There are no bundled bars of {base}.", "Leave --bars out.")
    return [
        Bar(f"{base}/USDT@BINANCE", "1h", ts * MS_NS, opened, high, low, close, volume)
        for ts, opened, high, low, close, volume in found.select(
            "ts", "open", "high", "low", "close", "volume"
        ).iter_rows()
    ]


if __name__ == "__main__":
    sys.exit(main())
