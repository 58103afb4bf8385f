"""Market data at rest: the user's Parquet tree, the bundled sample, and the one place to read both from."""

from abidance.market.store.catalog import Catalog, fingerprint
from abidance.market.store.shelves import BarStore, FundingStore, Holding
from abidance.market.store.timerange import parse_timerange, show

__all__ = ["BarStore", "Catalog", "FundingStore", "Holding", "fingerprint", "parse_timerange", "show"]
