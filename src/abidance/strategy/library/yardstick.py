"""What every other strategy must beat."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class BuyAndHold(BarStrategy):
    """Buy once and keep it.

    Idea: none; this is the yardstick that a rule must beat after costs to be worth its trouble.
    Market: any that rises in the long run.
    Known failure: it holds through every fall, and crypto has fallen by 80 % more than once.
    """

    def signals(self, bars: Bars) -> Signals:
        """Wish for a full position on every bar, which is bought once."""
        return Signals(np.ones(len(bars)), tag="hold")
