"""How the engine calls strategies: a `BarRunner` per bar strategy and instrument, an `EventRunner` per event strategy.

A runner turns a strategy's opinions into intents. It acts on a change of opinion only: a wish that is repeated, or
that risk refused, is not stated again until the strategy has wished something else.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from math import inf

import numpy as np

from abidance.engine.config import StrategyConfig
from abidance.engine.series import Series
from abidance.market.bars import FloatArray
from abidance.model.errors import StrategyError
from abidance.model.intent import AmendRequest, Basket, Intent, Target, TimerRequest
from abidance.model.market import Bar
from abidance.model.order import OrderRequest, Protection
from abidance.strategy.base import BarStrategy, EventStrategy, View
from abidance.strategy.decisions import Decisions, decide
from abidance.strategy.mistakes import FAILURES, strategy_error
from abidance.strategy.parameters import Value, set_parameters

LONG_SILENCE = 500
"""Bars after which a strategy without a single opinion is taken as broken rather than patient."""


class BarRunner:
    """One bar strategy on one instrument."""

    __slots__ = (
        "_decisions",
        "_rows",
        "_target",
        "config",
        "instrument",
        "name",
        "series",
        "strategy",
        "wish",
    )

    def __init__(self, name: str, strategy: BarStrategy, config: StrategyConfig, series: Series) -> None:
        self.name = name
        self.strategy = strategy
        self.config = config
        self.series = series
        self.instrument = series.instrument
        self.wish: float | None = None
        self._decisions: Decisions | None = None
        self._target: Sequence[float] | FloatArray = ()
        self._rows = 0

    def prepare(self) -> None:
        """Evaluate the strategy over the whole tape, when there is one."""
        tape = self.series.tape()
        if tape is not None:
            self._decisions = decide(self.strategy, tape, self.config.exits)
            self._target = self._decisions.target.tolist()
            self._rows = len(self._target)

    @property
    def is_silent(self) -> bool:
        """Return True when a known tape of some length leads to no opinion at all, in any row."""
        found = self._decisions
        return found is not None and len(found) >= LONG_SILENCE and bool(np.isnan(found.target).all())

    def set_parameters(self, values: dict[str, Value]) -> None:
        """Change parameters; the next close is decided with them."""
        set_parameters(self.strategy, values)
        self._rows = 0
        self.prepare()

    def on_bar(self, bar: Bar) -> Target | None:
        """Return the new wish after a closed bar, or None when nothing changed."""
        row = self._row()
        target = self._target[row]
        if target != target or target == self.wish:
            return None
        if target and not 0.0 < bar.close < inf:
            return None  # no position can be sized at a price that is none
        return self._change(float(target), row, bar)

    def _change(self, target: float, row: int, bar: Bar) -> Target | None:
        wish = self.wish
        same_side = wish is not None and (target > 0) == (wish > 0) and (target < 0) == (wish < 0)
        if wish is not None and same_side and abs(target - wish) < self.config.rebalance_threshold:
            return None
        self.wish = target
        if wish is None and target == 0:
            return None
        found = self._decisions
        assert found is not None
        return Target(
            strategy=self.name,
            instrument=self.instrument,
            strength=target if target >= 0 or self.config.allow_short else 0.0,
            price=bar.close,
            confidence=float(found.confidence[row]),
            protection=Protection(
                stop=_number(found.stop, row),
                take_profit=_number(found.take_profit, row),
                trailing=_number(found.trailing, row),
                break_even=_number(found.break_even, row),
                max_bars=found.max_bars,
            ),
            tag=found.tag(row),
        )

    def trailing(self) -> float | None:
        """Return the trailing distance as measured at the last close."""
        row = self._row()
        return _number(self._decisions.trailing, row) if self._decisions is not None else None

    def _row(self) -> int:
        """Return the row of the last close, evaluating the bars so far when the tape did not hold it."""
        row = self.series.size - 1
        if row >= self._rows:
            self._decisions = decide(self.strategy, self.series.bars(), self.config.exits)
            self._target = self._decisions.target
            self._rows = row + 1
        return row


def _number(column: FloatArray, row: int) -> float | None:
    value = float(column[row])
    return value if value == value else None


class EventRunner:
    """One event strategy with all its instruments."""

    __slots__ = ("config", "instruments", "name", "strategy", "view")

    def __init__(
        self,
        name: str,
        strategy: EventStrategy,
        config: StrategyConfig,
        instruments: tuple[str, ...],
        view: View,
    ) -> None:
        strategy.name = name
        self.name = name
        self.strategy = strategy
        self.config = config
        self.instruments = instruments
        self.view = view

    def hears(self, callback: str) -> bool:
        """Return True when the strategy overrides `callback`."""
        return getattr(type(self.strategy), callback) is not getattr(EventStrategy, callback)

    def call(self, callback: Callable[..., Iterable[Intent] | None], *datum: object) -> Sequence[Intent]:
        """Return what a callback wishes. Raises StrategyError that names the strategy's file and line."""
        try:
            wished = callback(*datum, self.view)
            return self.checked(wished) if wished is not None else ()
        except FAILURES as error:
            raise strategy_error(self.strategy, error, callback.__name__) from error

    def checked(self, wished: Iterable[Intent]) -> Sequence[Intent]:
        """Return the intents as a sequence. Raises StrategyError for what is none, or not its own to wish."""
        intents = []
        for intent in wished:  # one by one: a generator may never end
            check_intent(intent, self.name, self.instruments, self.view.now)
            intents.append(intent)
        return intents

    def set_parameters(self, values: dict[str, Value]) -> None:
        """Change parameters."""
        set_parameters(self.strategy, values)


def check_intent(intent: object, strategy: str, instruments: Sequence[str], now: int) -> None:
    """Raise StrategyError for what no engine could act on; whether an order may be sent is for risk to say."""
    if isinstance(intent, Basket):
        for request in intent.requests:
            check_intent(request, strategy, instruments, now)
        return
    if not isinstance(intent, Intent):
        raise StrategyError(
            f"A strategy returned {intent!r}, which is not an intent.", "Return a list of intents."
        )
    if isinstance(intent, Target | OrderRequest | TimerRequest) and intent.strategy != strategy:
        raise StrategyError(f"An intent is in the name of {intent.strategy!r}.", "Write strategy=self.name.")
    if isinstance(intent, OrderRequest) and type(intent.instrument) is not str:
        raise StrategyError(f"An order is for the instrument {intent.instrument!r}.", "Write its id.")
    if isinstance(intent, Target | OrderRequest):
        intent.tag.encode()  # raises for what cannot be recorded
    if isinstance(intent, Target):
        _check_target(intent, instruments)
    elif isinstance(intent, AmendRequest):
        values: tuple[object, ...] = (intent.quantity, intent.price, intent.trigger)
        for value in values:
            if value is not None and not (isinstance(value, Decimal) and value.is_finite()):
                raise StrategyError(
                    f"An amendment asks for {value!r}.", "Give a Decimal, or None for no change."
                )
    elif isinstance(intent, TimerRequest) and not (type(intent.ts) is int and intent.ts > now):
        raise StrategyError(
            f"A timer is set to {intent.ts!r}, and it is {now} now.", "Set it to a later moment."
        )


def _check_target(target: Target, instruments: Sequence[str]) -> None:
    if target.instrument not in instruments:
        raise StrategyError(
            f"A target is for {target.instrument!r}, which the strategy does not trade.",
            f"It trades {', '.join(instruments)}.",
        )
    if not (abs(target.strength) <= 1 and 0 <= target.confidence <= 1 and 0 < target.price < inf):
        raise StrategyError(
            f"A target has strength {target.strength}, confidence {target.confidence} and price {target.price}.",
            "Keep them within [-1, 1], [0, 1] and above 0.",
        )


Runner = BarRunner | EventRunner
