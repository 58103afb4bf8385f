"""Where the bars of a run come from; built from stored trades where the trades themselves decide what fills."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from abidance.market.bars import Bars
from abidance.market.build import Tape, build_time_bars
from abidance.market.funding import Funding
from abidance.market.store import show
from abidance.model.errors import ConfigError, DataError
from abidance.model.instrument import timeframe_ns
from abidance.strategy.base import BarStrategy, EventStrategy


class BarSource(Protocol):
    """Where bars and funding rates come from: the catalog, or anything else that can be asked the same."""

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return the bars that open from `start` up to, not including, `end`. Raises DataError when there are none."""
        ...

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        """Return the rates due from `start` up to, not including, `end`, or None when there are none."""
        ...


@runtime_checkable
class TapeSource(Protocol):
    """Where trades come from."""

    def trades(self, instrument: str, start: int | None = None, end: int | None = None) -> Tape:
        """Return the trades from `start` up to, not including, `end` (ns UTC), in the order of time, perhaps none."""
        ...


def no_trades() -> ConfigError:
    """Return what to say of a source that has no trades where a run asks for them."""
    return ConfigError(
        "This run has bars only, and `detail_timeframe` asks for trades.",
        "Import trades, or choose a shorter timeframe as the detail.",
    )


class Traded:
    """Bars built from the trades of a source; each tape is read once. A bar in which nothing traded is flat.

    `keys` are the series to come, of which `history` bars before `start` may be asked for.
    """

    def __init__(
        self, source: BarSource, keys: Sequence[tuple[str, str]], start: int | None, history: int
    ) -> None:
        if not isinstance(source, TapeSource):
            raise no_trades()
        longest = max(timeframe_ns(timeframe) for _, timeframe in keys)
        self._source, self._trades = source, source
        self._since = None if start is None else max(0, start - (history + 1) * longest)
        self._tapes: dict[str, Tape] = {}
        self._bars: dict[tuple[str, str], Bars] = {}

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return the bars that open from `start` up to, not including, `end`. Raises DataError when there are none."""
        key = (instrument, timeframe)
        if key not in self._bars:
            self._bars[key] = build_time_bars(*key, self._tape(instrument, end), fill=True)
        bars = self._bars[key]
        first = 0 if start is None else int(np.searchsorted(bars.ts, start))
        if first == len(bars):
            since = "" if start is None else f" from {show(start)} on"
            raise DataError(
                f"The stored trades of {instrument} make no whole bar of {timeframe}{since}.",
                "Import more of them, or choose a shorter timeframe.",
            )
        return bars.slice(first, len(bars))

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        """Return the rates that the source has."""
        return self._source.funding(instrument, start, end)

    def tape(self, instrument: str, start: int) -> Tape:
        """Return the trades from `start` on that `read` built its bars from."""
        tape = self._tapes[instrument]
        first = int(np.searchsorted(tape.ts, start))
        return Tape(tape.ts[first:], tape.price[first:], tape.size[first:])

    def _tape(self, instrument: str, end: int | None) -> Tape:
        if instrument not in self._tapes:
            tape = self._trades.trades(instrument, self._since, end)
            self._tapes[instrument] = tape if tape.is_clean() else _mended(instrument, tape)
        return self._tapes[instrument]


def _mended(instrument: str, tape: Tape) -> Tape:
    """Return a tape without trades that cannot be. Raises DataError for one out of order."""
    tape = tape.sound()
    if (late := np.flatnonzero(tape.ts[1:] < tape.ts[:-1])).size:
        row = int(late[0]) + 1
        raise DataError(
            f"A trade of {instrument} goes backwards in time, to {show(int(tape.ts[row]))}.",
            "Sort them by time.",
        )
    return tape


def check_tapes(strategies: Mapping[str, BarStrategy | EventStrategy]) -> None:
    """Refuse a strategy that would hear the trades themselves: tapes do not say who took."""
    for name, strategy in strategies.items():
        if isinstance(strategy, EventStrategy) and type(strategy).on_trade is not EventStrategy.on_trade:
            raise ConfigError(
                f"{name} hears every trade, and trades as `detail_timeframe` only decide what fills.",
                "Replay them to it with a TradeReplay, or let it decide on bars.",
            )
