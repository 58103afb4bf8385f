"""Replays of stored market data as feeds, one for each kind of event, and their merge into one order of time."""

from abidance.market.feed.bars import BarReplay
from abidance.market.feed.books import BookReplay, LadderReplay
from abidance.market.feed.merge import merge
from abidance.market.feed.ticks import FundingReplay, QuoteReplay, TapeReplay, TradeReplay

__all__ = [
    "BarReplay",
    "BookReplay",
    "FundingReplay",
    "LadderReplay",
    "QuoteReplay",
    "TapeReplay",
    "TradeReplay",
    "merge",
]
