"""Recorded order books replayed: the ladder after each update."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abidance.market.feed import BookReplay, LadderReplay
from abidance.market.feed import stream as stream_module
from abidance.market.feed import ticks as replay_module
from abidance.model.errors import DataError
from abidance.model.market import BookSnapshot
from tests.unit.market.series import BTC, NEW_YEAR

MS = 1_000_000
RECORDED = Path(__file__).parents[4] / "shared" / "data" / "books"


def rows(*updates: tuple[int, bool, int, int, list[tuple[str, float, float]]]) -> dict[str, Any]:
    """Return columns from updates: ms, whether a snapshot, first and last id, levels."""
    found: dict[str, list[Any]] = {
        name: [] for name in ("ts_ns", "is_snapshot", "U", "u", "side", "price", "size")
    }
    for ms, whole, first, last, levels in updates:
        for side, price, size in levels:
            row = (NEW_YEAR + ms * MS, whole, first, last, side, price, size)
            for name, value in zip(found, row, strict=True):
                found[name].append(value)
    return found


FIRST = (0, True, 5, 5, [("bid", 99.0, 1.0), ("bid", 98.0, 2.0), ("ask", 101.0, 1.0), ("ask", 102.0, 4.0)])


def books(source: Any, **given: Any) -> list[BookSnapshot]:
    return [event for event in BookReplay(BTC, source, **given).events() if isinstance(event, BookSnapshot)]


def test_levels_come_change_and_go() -> None:
    found = books(
        rows(
            FIRST,
            (1, False, 6, 6, [("bid", 99.5, 3.0), ("ask", 101.0, 0.0)]),
            (2, False, 7, 8, [("bid", 99.0, 0.5), ("bid", 97.0, 0.0)]),
        )
    )

    assert [(each.ts - NEW_YEAR) // MS for each in found] == [0, 1, 2]
    assert found[0].bids == ((99.0, 1.0), (98.0, 2.0))
    assert found[1] == BookSnapshot(
        NEW_YEAR + MS, BTC, ((99.5, 3.0), (99.0, 1.0), (98.0, 2.0)), ((102.0, 4.0),)
    )
    assert found[2].bids == ((99.5, 3.0), (99.0, 0.5), (98.0, 2.0))


def test_a_depth_bounds_the_levels_of_each_side() -> None:
    assert books(rows(FIRST), depth=1)[0].asks == ((101.0, 1.0),)
    with pytest.raises(DataError, match="no price"):
        BookReplay(BTC, rows(FIRST), depth=0)


def test_nothing_is_given_out_before_a_snapshot_nor_what_it_holds_already() -> None:
    found = books(
        rows(
            (0, False, 1, 3, [("bid", 50.0, 1.0)]), (1, *FIRST[1:]), (2, False, 4, 5, [("bid", 50.0, 1.0)]),
            (3, False, 6, 6, [("bid", 98.5, 1.0)]),
        )
    )  # fmt: skip

    assert [(each.ts - NEW_YEAR) // MS for each in found] == [1, 3]
    assert found[1].bids == ((99.0, 1.0), (98.5, 1.0), (98.0, 2.0))


def test_a_snapshot_that_came_late_is_taken_before_what_it_does_not_hold() -> None:
    found = books(
        rows((0, False, 3, 4, [("bid", 50.0, 1.0)]), (1, False, 5, 7, [("bid", 99.5, 1.0)]), (2, *FIRST[1:]))
    )

    assert [each.bids[0] for each in found] == [(99.0, 1.0), (99.5, 1.0)]


def test_a_gap_ends_the_ladder_until_the_next_snapshot() -> None:
    found = books(
        rows(
            FIRST, (1, False, 9, 9, [("bid", 99.5, 3.0)]), (2, False, 10, 10, [("bid", 99.6, 3.0)]),
            (3, True, 12, 12, [("bid", 90.0, 1.0)]), (4, False, 13, 13, [("ask", 91.0, 1.0)]),
        )
    )  # fmt: skip

    assert [(each.bids, each.asks) for each in found[1:]] == [
        (((90.0, 1.0),), ()),
        (((90.0, 1.0),), ((91.0, 1.0),)),
    ]


def test_a_record_without_a_snapshot_is_refused() -> None:
    with pytest.raises(DataError, match="no snapshot"):
        books(rows((0, False, 1, 1, [("bid", 1.0, 1.0)])))


def test_a_side_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="neither bid nor ask"):
        books(rows((0, True, 1, 1, [("buy", 1.0, 1.0)])))


@pytest.mark.parametrize("chunk", [1, 3, 50])
def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    rng = np.random.default_rng(3)
    updates = [FIRST]
    for at in range(1, 200):
        levels = [
            (str(side), float(rng.integers(90, 100) + (side == "ask") * 10), float(rng.integers(0, 3)))
            for side in rng.choice(["bid", "ask"], 3)
        ]
        updates.append((at // 2, bool(at % 50 == 0), 5 + at, 5 + at, levels))
    whole = books(rows(*updates))
    monkeypatch.setattr(replay_module, "_CHUNK", chunk)

    assert books(rows(*updates)) == whole
    assert len(whole) == 200
    assert list(BookReplay(BTC, rows(*updates)).events(NEW_YEAR + 40 * MS)) == [
        each for each in whole if each.ts > NEW_YEAR + 40 * MS
    ]


@pytest.mark.skipif(not RECORDED.is_dir(), reason="needs ../shared/data/books")
def test_a_recorded_book_is_that_of_a_plain_dictionary() -> None:
    import polars as pl

    path = RECORDED / "binance_spot_BTCUSDT_20240808_depth.parquet"
    frame = pl.read_parquet(path).select("u", "is_snapshot", "side", "price", "size")
    snapshot = frame.filter("is_snapshot")
    later = frame.filter(~pl.col("is_snapshot") & (pl.col("u") > snapshot["u"][0]))
    sides: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    plain = []
    for part in [snapshot, *later.partition_by("u", maintain_order=True)]:
        for _, _, side, price, size in part.rows():
            sides[side][price] = size
            if not size:
                del sides[side][price]
        plain.append((max(sides["bid"]), min(sides["ask"]), len(sides["bid"])))

    found = books(path, depth=10**6)

    assert [(each.bids[0][0], each.asks[0][0], len(each.bids)) for each in found] == plain


def ladders(**changed: Any) -> dict[str, Any]:
    return {
        "ts_ns": [NEW_YEAR, NEW_YEAR + MS, NEW_YEAR + 2 * MS],
        "bid_prices": [[99.0, 98.0], [], [99.5]],
        "bid_sizes": [[1.0, 2.0], [], [3.0]],
        "ask_prices": [[101.0], [101.0], []],
        "ask_sizes": [[4.0], [4.0], []],
        **changed,
    }


@pytest.mark.parametrize("chunk", [1, 2, 10])
def test_recorded_ladders_come_as_they_stand(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(replay_module, "_CHUNK", chunk)
    monkeypatch.setattr(stream_module, "LEAST", 0)

    found = list(LadderReplay(BTC, ladders()).events())

    assert found == [
        BookSnapshot(NEW_YEAR, BTC, ((99.0, 1.0), (98.0, 2.0)), ((101.0, 4.0),)),
        BookSnapshot(NEW_YEAR + MS, BTC, (), ((101.0, 4.0),)),
        BookSnapshot(NEW_YEAR + 2 * MS, BTC, ((99.5, 3.0),), ()),
    ]
    assert list(LadderReplay(BTC, ladders()).events(NEW_YEAR)) == found[1:]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"bid_sizes": [[1.0], [], [3.0]]}, "Row 1 of .* no sound bid side"),
        ({"ask_prices": [[101.0], [float("nan")], []]}, "Row 2 of .* no sound ask side"),
        ({"ts_ns": [NEW_YEAR, NEW_YEAR - 1, NEW_YEAR]}, "Row 2 of .* goes backwards"),
    ],
)
def test_a_ladder_that_cannot_be_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        list(LadderReplay(BTC, ladders(**changed)).events())


def test_ladders_without_a_column_are_refused() -> None:
    with pytest.raises(DataError, match="ask_sizes"):
        list(
            LadderReplay(
                BTC, {name: values for name, values in ladders().items() if name != "ask_sizes"}
            ).events()
        )


def test_two_passes_over_one_record_do_not_disturb_each_other() -> None:
    updates = [FIRST] + [
        (at, False, 5 + at, 5 + at, [("bid", 99.0 + at / 1000, float(at))]) for at in range(1, 300)
    ]
    replay = BookReplay(BTC, rows(*updates))
    whole = list(replay.events())

    ahead, behind = replay.events(), replay.events()
    for _ in range(200):
        next(ahead)

    assert list(behind) == whole
    assert list(ahead) == whole[200:]
