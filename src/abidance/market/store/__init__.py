"""Market data at rest: the user's store, the bundled sample, and the one place to read both from."""

from abidance.market.store.catalog import Catalog, fingerprint
from abidance.market.store.shelves import BarStore, FundingStore, Holding, TradeStore, holes, open_tables
from abidance.market.store.spans import Hole, Spans
from abidance.market.store.tables import Place, Tables
from abidance.market.store.timerange import parse_timerange, show

__all__ = [
    "BarStore",
    "Catalog",
    "FundingStore",
    "Holding",
    "Hole",
    "Place",
    "Spans",
    "Tables",
    "TradeStore",
    "fingerprint",
    "holes",
    "open_tables",
    "parse_timerange",
    "show",
]
