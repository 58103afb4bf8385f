"""A bot goes on with its record after an update that brought new settings, and with no other settings than its own."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from abidance.engine.config import StrategyConfig
from abidance.journal.record import RunHeader
from abidance.journal.store import read
from abidance.market.store import BarStore, Catalog
from abidance.model.errors import JournalError
from abidance.model.event import OrderFilled
from abidance.run import bot
from abidance.run.config import RunConfig
from abidance.run.paper import Paper

CONFIG = RunConfig(
    instruments=("BTC/USDT@BINANCE",),
    timerange="20250301-20250310",
    strategies=(StrategyConfig(strategy="EmaCross"),),
)
YOUNGER = [
    ("feed",),
    ("risk", "circuits"),
    ("risk", "limits", "max_exposure"),
    ("strategies", 0, "execution"),
]


def trade(folder: Path, bars: int = 0, config: RunConfig = CONFIG) -> None:
    """Run a bot for so many bars; 0 runs it to the end."""
    left = [bars]

    def stop() -> bool:
        left[0] -= 1
        return left[0] == 0

    with Paper(config, Catalog(BarStore(folder / "data")), None, folder) as paper:
        paper.run(0, stop, lambda _: None)


def begun_before(folder: Path, monkeypatch: pytest.MonkeyPatch, *missing: str | int) -> None:
    """Begin a bot with a version that did not have a setting yet."""
    header_of = bot._header

    def older(*given: Any) -> RunHeader:
        header = header_of(*given)
        config = msgspec.json.decode(msgspec.json.encode(header.config))
        place = config
        for each in missing[:-1]:
            place = place[each]
        del place[missing[-1]]
        return msgspec.structs.replace(header, config=config, config_hash="older")

    with monkeypatch.context() as patched:
        patched.setattr(bot, "_header", older)
        trade(folder, 50)


@pytest.mark.parametrize("missing", YOUNGER, ids=lambda each: str(each[-1]))
def test_a_setting_younger_than_the_record_is_as_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str | int, ...]
) -> None:
    begun_before(tmp_path / "updated", monkeypatch, *missing)
    trade(tmp_path / "updated")
    trade(tmp_path / "whole")

    updated, whole = (
        [
            (event.ts, event.fill.side, event.fill.quantity, event.fill.price)
            for event in (each.event for each in read(tmp_path / name / bot.JOURNAL).records)
            if isinstance(event, OrderFilled)
        ]
        for name in ("updated", "whole")
    )

    assert updated == whole
    assert len(whole) == 4


def test_a_younger_setting_that_is_not_as_by_default_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_before(tmp_path, monkeypatch, "dry_run_wallet")

    with pytest.raises(JournalError, match="another configuration"):
        trade(tmp_path, config=CONFIG.model_copy(update={"dry_run_wallet": 20_000.0}))


def test_a_setting_that_there_is_no_longer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header_of = bot._header
    with monkeypatch.context() as patched:
        patched.setattr(
            bot, "_header",
            lambda *given: msgspec.structs.replace(
                (header := header_of(*given)), config={**header.config, "gone": 1}, config_hash="older"
            ),
        )  # fmt: skip
        trade(tmp_path, 50)

    with pytest.raises(JournalError, match="another configuration"):
        trade(tmp_path)
