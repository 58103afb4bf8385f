"""Bars at rest: a Parquet tree of the user's, the bundled sample, and the one place to read both from."""

from abidance.market.store.catalog import Catalog, fingerprint
from abidance.market.store.timerange import parse_timerange, show
from abidance.market.store.tree import BarStore, Holding

__all__ = ["BarStore", "Catalog", "Holding", "fingerprint", "parse_timerange", "show"]
