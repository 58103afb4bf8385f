"""What the tables of refusals say is what the venues document: no code is on a list by mistake.

`documented_errors.json` has the codes and texts of the venues' own pages and of ccxt's tables; Binance's are beside its
accounts.
"""

import json
from pathlib import Path

import pytest

from abidance.venues.bybit import refusals as bybit
from abidance.venues.kraken import refusals as kraken
from abidance.venues.kucoin import refusals as kucoin
from abidance.venues.mexc import refusals as mexc

DOCUMENTED = json.loads((Path(__file__).parents[2] / "data/wire/documented_errors.json").read_text())
LISTED = {
    "BYBIT": bybit.REFUSALS,
    "KRAKEN": kraken.REFUSALS,
    "KUCOIN": kucoin.REFUSALS,
    "MEXC": mexc.REFUSALS,
}
ELSEWHERE = {
    "BYBIT": set(),
    "KRAKEN": {
        "EAPI:Bad request", "EAPI:Feature disabled", "EAPI:Invalid signature", "EGeneral:Unknown Method",
        "EOrder:Cost minimum not met", "EOrder:Invalid price", "EOrder:Orders limit exceeded", "EOrder:Tick size check failed",
        "EQuery:Unknown asset pair", "ETrade:Locked",
    },
    "KUCOIN": {"230005", "900001"},
    "MEXC": {"-1121", "-1128", "402", "406"},
}  # fmt: skip
"""What is on our lists and not in those tables: told on other pages of the venues. A new one must be added by hand."""
DOUBTFUL = {
    "BYBIT": {"10000", "10016", "10014", "170007", "170146", "170147", "170001", "170032", "170149", "170150", "170234", "170035"},
    "KRAKEN": {"EService:Unavailable", "EService:Busy", "EGeneral:Internal error", "EDatabase:Internal error", "EService:Timeout"},
    "KUCOIN": {"500", "503", "500000", "408000", "300000", "126000", "401000"},
    "MEXC": {"500", "503", "504", "-2011", "22222", "10098"},
}  # fmt: skip


@pytest.mark.parametrize("venue", sorted(LISTED))
def test_every_listed_error_is_documented(venue: str) -> None:
    listed = {str(code) for code in LISTED[venue]}

    assert listed - set(DOCUMENTED[venue]) == ELSEWHERE[venue]


@pytest.mark.parametrize("venue", sorted(LISTED))
def test_no_error_of_doubt_is_on_a_list_of_proofs(venue: str) -> None:
    assert not DOUBTFUL[venue] & {str(code) for code in LISTED[venue]}
