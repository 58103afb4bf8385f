"""The whole live program, from strategy to disk and wire, in worlds in which everything goes wrong."""

import ast
import asyncio
import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest

import abidance.testing.simulation.checker as checker
import abidance.testing.simulation.reading as reading
import abidance.testing.simulation.story as story
from abidance.testing.exchange.desk import Entry, Part, State
from abidance.testing.simulation.campaign import ENOUGH, Played, Tally, play
from abidance.testing.simulation.clockwork import run_virtual
from abidance.testing.simulation.kinds import BESIDE, ELSEWHERE, KINDS, KRAKEN, kind_of
from abidance.testing.simulation.owner import DEEDS, Owner
from abidance.testing.simulation.story import Intent, Venue
from abidance.testing.simulation.trouble import FAULTS, Trouble, faults_of
from abidance.testing.simulation.world import Place, faulty
from abidance.venues.dialect import Endpoint

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "8"))


@pytest.mark.parametrize("part", range(4))
def test_every_rule_holds_after_every_event_whatever_goes_wrong(part: int) -> None:
    hits: Counter[str] = Counter()
    for seed in range(part, SEEDS, 4):
        played = play(seed)
        hits.update(played.hits)

        assert not played.failure, f"abidance simulate-faults --seed {seed}: {played.failure}"
    assert hits


ONCE_FAILED = {
    "shared": (73, 144),
    "kraken-shared": (12, 75, 324, 2647, 4284, 20372, 20477, 20623, 20967, 21197),
    "spot": (40, 86, 179, 310, 319, 362, 398, 507, 547, 856, 1167, 2145),
    "perpetual": (321, 338, 5333, 7141, 8050),
    "routed": (132, 982),
    "kraken": (76, 150, 233, 309, 353),
    "coins": (141,),
}


@pytest.mark.parametrize(
    ("kind", "seed"), [(kind, seed) for kind in ONCE_FAILED for seed in ONCE_FAILED[kind]]
)
def test_a_world_that_once_found_a_defect_holds(kind: str, seed: int) -> None:
    played = play(seed, kind)

    assert not played.failure, f"abidance simulate-faults --world {kind} --seed {seed}: {played.failure}"


def test_a_world_may_end_while_its_program_runs(tmp_path: Path) -> None:
    place = Place(1, tmp_path, KINDS["spot"])

    async def end() -> bool:
        keeping = asyncio.ensure_future(place.keep_alive())
        await asyncio.sleep(3.0)
        keeping.cancel()
        await asyncio.wait((keeping,))
        return keeping.cancelled() and place.life is not None and not place.life.done()

    with faulty(place.disk):
        assert run_virtual(end(), place.loop)


def test_each_kind_of_world_is_drawn() -> None:
    assert {kind_of(seed) for seed in range(200)} == {*KINDS.values()}


@pytest.mark.slow
def test_each_kind_of_world_trades_and_is_the_same_in_every_process() -> None:
    hashes = "77" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    code = (
        "from abidance.testing.simulation.campaign import play; "
        f"print(*(play(0, kind).digest for kind in {[*KINDS]}))"
    )

    played = [play(0, name) for name in KINDS]
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hashes},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert not any(each.failure for each in played)
    assert all(each.fills for each in played)
    assert [each.digest for each in played] == elsewhere


def test_rare_kinds_take_the_place_of_the_ones_they_are_like_alone() -> None:
    kinds = [each for each in KINDS.values() if each.weight]
    weights = [each.weight for each in kinds]

    drawn = {
        (Random(f"kind:{seed}").choices(kinds, weights)[0].name, kind_of(seed).name) for seed in range(500)
    }

    instead = {
        ("spot", "coins"), ("routed", "apart"), ("shared", "margin"), ("kucoin", "kucoin-margin"), ("bybit", "bybit-pairs")
    }  # fmt: skip
    assert drawn == {*((each.name, each.name) for each in kinds), *instead}


def live_for(seconds: float, place: Place) -> None:
    """Let a world live in which nothing goes wrong."""

    async def lives() -> None:
        works = [asyncio.ensure_future(each) for each in (*map(place.play, place.sites), place.keep_alive())]
        await asyncio.sleep(seconds)
        for work in works:
            work.cancel()
        await asyncio.wait(works)

    with faulty(place.disk):
        run_virtual(lives(), place.loop)


@pytest.mark.parametrize("kind", ["margin", "kucoin-margin"])
def test_a_world_of_margin_trades_from_that_account_alone_and_borrows_nothing(
    tmp_path: Path, kind: str
) -> None:
    place = Place(1, tmp_path, KINDS[kind])

    live_for(30.0, place)

    (site,) = place.sites
    (owner,) = site.exchange.desk.accounts.values()
    assert site.account is owner.margin
    assert {line.why for line in site.account.ledger} >= {"trade", "fee"}
    assert site.account.debts == {}
    assert owner.ledger == []


def test_fees_are_taken_in_a_coin_until_the_account_has_none_left() -> None:
    played = [play(seed, "coins") for seed in range(3)]

    assert not any(each.failure for each in played)
    assert all(each.hits["fee_in_coin"] for each in played)
    assert any(each.hits.get("coin_used_up") for each in played)
    assert any("coin_used_up" not in each.hits for each in played)


def test_executions_of_two_markets_that_bear_one_number_are_two() -> None:
    venue, part = Venue(str), Part(7, 1, 100, 2, Decimal(0), "USDT", False)
    for number, instrument in enumerate((ELSEWHERE, BESIDE), 1):
        placed = Entry(1, "a-key", number, f"{number:032x}", State.FILLED, 2, part)
        venue.entry(placed, instrument)

    whose = [[id for id, _ in venue.found(each, "7")] for each in (ELSEWHERE, BESIDE)]
    assert whose == [[f"{number:032x}"] for number in (1, 2)]
    assert venue.found(BESIDE, "7-sell") == venue.found(BESIDE, "7")


def test_two_instruments_at_one_venue_are_traded_with_the_money_of_one_account(tmp_path: Path) -> None:
    place = Place(1, tmp_path, KINDS["bybit-pairs"])

    live_for(30.0, place)

    (site,) = place.sites
    assert place.checker.failure is None
    assert {instrument for instrument, _ in place.checker.story.fills} == {ELSEWHERE, BESIDE}
    assert {each.instrument.id for each in site.markets} == {ELSEWHERE, BESIDE}
    assert {*place.checker.heard_at} == {ELSEWHERE, BESIDE}


@pytest.mark.parametrize("reduces", [True, False])
def test_an_exit_that_waits_is_a_difference_unless_the_exchange_has_no_room_for_it(
    tmp_path: Path, reduces: bool
) -> None:
    place = Place(1, tmp_path, KINDS["kraken"])
    (site,) = place.sites
    sent = Intent("sent", KRAKEN, "sell", Decimal("0.1"), reduces, Decimal(60_000), 0)
    place.checker.story.intents["sent"] = sent

    found = [place.checker.differences(is_alive=True, must_protect=False)]
    assert site.exchange.quota is not None
    site.exchange.quota.use_up_orders(site.account.key, [KRAKEN], site.exchange.now)
    found.append(place.checker.differences(is_alive=True, must_protect=False))
    place.loop.close()

    assert ["sent" in each for each in found] == [True, not reduces]


def test_two_seeds_are_two_worlds() -> None:
    assert play(1).digest != play(2).digest


def test_frames_that_leave_at_one_moment_arrive_in_their_order(tmp_path: Path) -> None:
    place = Place(1, tmp_path, KINDS["bybit"])
    (site,) = place.sites
    heard, told = list[object](), [str(number) for number in range(40)]

    async def say() -> None:
        socket = await place.plug.connect(Endpoint(f"ws://{site.tongue.host}/v5/private"))
        for each in told:
            await socket.send(each)
        await asyncio.sleep(1)

    with patch.object(site.exchange.house, "hear", lambda _, frame: heard.append(frame)):
        run_virtual(say(), place.loop)

    assert heard == told


def test_the_checker_shares_no_code_with_what_it_judges() -> None:
    for module in (checker, reading, story):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        named = {
            name
            for node in ast.walk(tree)
            for name in (
                [each.name for each in node.names]
                if isinstance(node, ast.Import)
                else [str(node.module)]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }

        assert {name for name in named if name.startswith("abidance")} <= {
            "abidance.testing.simulation.reading",
            "abidance.testing.simulation.story",
        }


def test_there_are_enough_ways_to_go_wrong() -> None:
    assert len(FAULTS) >= 35


def test_a_fault_that_struck_in_one_kind_of_world_does_not_count_for_another() -> None:
    def played(kind: str, *names: str) -> Played:
        return Played(0, kind, "", "", dict.fromkeys(names, 1), 0.0, 0, 0, 0, 1)

    tally = Tally()
    everything = faults_of(KINDS["spot"])
    tally.add(played("spot", *everything))
    few = list(tally.unhit), list(tally.gaps)
    for _ in range(ENOUGH):
        tally.add(played("kucoin", *(everything - {"key_revoked"})))

    assert few == ([], [])
    assert tally.gaps == [("kucoin", "key_revoked")]
    assert tally.unhit == ["key_revoked in kucoin"]
    assert "liquidated" not in everything


def test_owners_of_accounts_who_never_do_anything_are_noticed() -> None:
    idle, busy = Tally(), Tally()
    with patch.object(Owner, "plans", lambda *_: []):
        idle.add(play(1, "spot"))
    for seed in range(1, 3):
        busy.add(play(seed, "spot"))

    assert set(idle.unhit) >= DEEDS
    assert not DEEDS & set(busy.unhit)
    assert DEEDS - faults_of(KINDS["perpetual"]) == {"sold_by_hand"}


def test_a_fault_counts_when_it_does_something_and_not_when_it_begins(tmp_path: Path) -> None:
    place = Place(1, tmp_path, KINDS["kucoin"])
    Trouble(place)
    (site,) = place.sites

    async def ask() -> int:
        url = f"http://{site.tongue.host}/api/v1/accounts"
        return (await place.plug.request("GET", url, {}, {"KC-API-KEY": "a-key"})).status

    site.account.permissions.is_revoked = True
    before = dict(place.hits)
    status = run_virtual(ask(), place.loop)

    assert before == {}
    assert status == 401
    assert place.hits == {"key_revoked": 1}
