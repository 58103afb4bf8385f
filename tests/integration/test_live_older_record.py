"""A bot that goes on with a record which an earlier version of the program wrote."""

from decimal import Decimal
from pathlib import Path

import pytest

from abidance.engine.news import News
from abidance.run.checkpoint import CHECKPOINT
from abidance.run.trading import LiveTrading
from tests.integration.test_live_by_hand import Spot, held

D = Decimal


def crumbs(bot: LiveTrading) -> int:
    return [notice.code for notice in bot._recorder.notices].count("crumb")


async def test_a_record_that_holds_less_than_a_lot_and_says_no_word_of_it_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Spot(tmp_path / "bot")
    place.account.taker = D("0.9995")  # of what is bought: less than a lot is left

    async with place:
        with monkeypatch.context() as earlier:
            earlier.setattr(News, "_take_leave", lambda *_: None)
            before = await place.live(130)
        (place.folder / CHECKPOINT).unlink(missing_ok=True)
        again = await place.live(10)

    assert 0 < held(before)["once"] < place.market.instrument.lot
    assert (crumbs(before), crumbs(again)) == (0, 1)
    assert held(again) == held(before)
