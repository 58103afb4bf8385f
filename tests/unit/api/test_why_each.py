"""Every fill is explained whole: each of its parts is there, or a sentence says why it is not."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from abidance.api import views
from abidance.engine.pump import Pump
from abidance.journal.record import Record, RunHeader
from abidance.journal.store import FileJournal, read
from abidance.kernel.ids import OrderIds
from abidance.kernel.ports import SimulatedVenue
from abidance.model.account import OWNER
from abidance.model.command import Command
from abidance.model.event import AccountEvent, Control, ControlAction, OrderFilled
from abidance.model.market import Bar, BarSlice, MarketEvent
from abidance.model.order import Fill, Purpose, Side
from abidance.model.outcome import Outcome, Recorded
from abidance.portfolio.ledger import fill_ref
from abidance.run.decisions import Decisions
from abidance.run.replica import Replica
from abidance.run.setup import Core, Material, assemble
from tests.unit.engine.rig import HOUR, PERP, SPOT, START, Scripted, bars_of, flat, material_of

PARTS = ("trigger", "seen", "signal", "sizing", "verdict", "request", "steps", "ledger")
ROWS = [
    *flat(100, 100),
    (100, 104, 100, 104),
    (104, 110, 104, 110),
    (110, 112, 109, 112),
    (112, 112, 103, 103),
    (103, 103, 99, 99),
    (99, 99, 93, 93),
    *flat(93, 93, 93),
]
KILL = Control(0, ControlAction.KILL, "", "ada", {"flatten": True})
_Values = dict[str, float | int | str | bool]
BUY: _Values = {"instrument": SPOT.id, "side": "buy", "quantity": "0.5", "stop_distance": 5.0}
SELL: _Values = {"instrument": SPOT.id, "side": "sell", "quantity": "0.2", "reduce_only": True}
DEEDS = {
    2: Control(0, ControlAction.ORDER, "typed", "ada", BUY),
    4: Control(0, ControlAction.ORDER, "typed", "bob", SELL),
    9: KILL,
}
"""What people order after the n-th bar."""


def lacking(why: dict[str, Any]) -> list[str]:
    """Return which parts of an explanation are neither there nor told of, or both."""
    told = why["instead"]
    assert set(told) <= set(PARTS)
    assert all(len(each.split()) > 2 and each.endswith(".") for each in (*told.values(), why["cause"]))
    return [part for part in PARTS if bool(why[part]) == bool(told.get(part))]


def each_fill(replica: Replica) -> Iterator[dict[str, Any]]:
    for fill in replica.fills:
        yield views.why_fill(replica, fill_ref(fill)).model_dump(mode="json")


def material() -> Material:
    """Return a run in which each strategy's position ends in another way."""
    scripts = {
        "signalled": Scripted([1, 1, 1, 0], stop=50.0),
        "stopped": Scripted([1], stop=5.0),
        "trailed": Scripted([1], trailing=5.0),
        "evened": Scripted([1], stop=6.0, break_even=4.0),
        "reached": Scripted([1], take_profit=8.0),
        "timed": Scripted([1], max_bars=2),
        "killed": Scripted([1]),
        "typed": Scripted([]),
        "broke": Scripted([-1]),
    }
    perpetual = {"instruments": (PERP.id,), "leverage": 20, "allow_short": True}
    configs = {name: {"instruments": (SPOT.id,)} for name in scripts} | {"broke": perpetual}
    tapes = {each: bars_of(each.id, ROWS) for each in (SPOT, PERP)}
    return material_of(scripts, tapes, configs=configs, dry_run_wallet=100_000)


def played(of: Material, pump: Pump, core: Core[SimulatedVenue], market: Callable[[Any], None]) -> None:
    for opening in core.opening:
        pump.step(opening)
    for number, event in enumerate(of.replay().events()):
        market(event)
        if number in DEEDS:
            deed = DEEDS[number]
            pump.step(Control(event.ts, deed.action, deed.strategy, deed.actor, deed.values))


def header(of: Material, mode: str) -> RunHeader:
    plain = of.config.model_dump(mode="json")
    return RunHeader("r", "bot", mode, 1, "0", "hash", plain, tuple(of.instruments.values()))


def started(of: Material) -> Core[Any]:
    return assemble(of, OrderIds(0, 0, b"t").make, tape=of.bars, isolate=True)


def on_paper(path: Path) -> None:
    of = material()
    core, journal = started(of), FileJournal(path, header(of, "paper"), "never")
    pump = Pump(core.engine, core.venue, journal)
    played(of, pump, core, pump.market)
    journal.close()


def in_a_backtest(path: Path, *, is_old: bool = False) -> None:
    """Record a backtest; earlier versions did not write what a fill answered before the fill."""
    of = material()
    core = started(of)
    kept = Decisions(path, of, core)

    def observe(outcome: Outcome) -> None:
        kept.observe(outcome, None if is_old else pump.answered)

    pump = Pump(core.engine, core.venue, observe=observe)
    played(of, pump, core, lambda event: pump.run([event]))
    kept.close()


class Elsewhere:
    """A venue whose answers come between market events, as those of real ones do."""

    def __init__(self, venue: Any) -> None:
        self.venue = venue

    def advance(self, event: MarketEvent) -> Iterable[AccountEvent]:
        return ()

    def execute(self, commands: Iterable[Command]) -> Iterable[AccountEvent]:
        return self.venue.execute(commands)  # type: ignore[no-any-return]


def live(path: Path) -> None:
    of = material()
    core, journal = started(of), FileJournal(path, header(of, "live"), "never")
    pump = Pump(core.engine, Elsewhere(core.venue), journal)  # type: ignore[arg-type]

    def market(event: MarketEvent) -> None:
        pump.market(event)
        for news in core.venue.advance(event):
            pump.step(news)

    played(of, pump, core, market)
    journal.close()


RUNS = {"paper": on_paper, "backtest": in_a_backtest, "live": live}


def replica_of(path: Path) -> Replica:
    found = read(path)
    replica = Replica(found.header)
    replica.take(found.records)
    return replica


@pytest.fixture(scope="module", params=RUNS)
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Replica:
    path = tmp_path_factory.mktemp("why") / "journal"
    RUNS[request.param](path)
    return replica_of(path)


def of(replica: Replica, strategy: str, purpose: Purpose) -> dict[str, Any]:
    """Return why a strategy's first fill of a purpose came to be."""
    fill = next(each for each in replica.fills if (each.strategy, each.purpose) == (strategy, purpose))
    return views.why_fill(replica, fill_ref(fill)).model_dump(mode="json")


def test_each_part_of_each_fill_is_there_or_told_of(replica: Replica) -> None:
    whys = list(each_fill(replica))

    assert {each["fill"]["purpose"] for each in whys} == {
        *("entry", "signal", "stop_loss", "trailing_stop", "break_even", "take_profit", "time"),
        *("flatten", "liquidation"),
    }
    assert [lacking(each) for each in whys] == [[] for _ in whys]
    assert [each["seen"]["kind"] for each in whys] == ["bars" for _ in whys]


def test_each_order_is_explained_too_whether_it_filled_or_not(replica: Replica) -> None:
    whys = [views.why_order(replica, each.id) for each in replica.sent]

    assert any(each.filled == 0 for each in replica.sent)
    for each in whys:
        assert each is not None
        assert lacking(each.model_dump(mode="json")) == []


@pytest.mark.parametrize(
    ("strategy", "purpose", "rule"),
    [
        (
            "stopped",
            Purpose.STOP_LOSS,
            "The stop loss stands 5 USDT (5 %) below the entry at 100: at 95 USDT.",
        ),
        (
            "trailed",
            Purpose.TRAILING_STOP,
            (
                "The trailing stop follows the best price since the entry at 100, 5 USDT (5 %) behind it when it was set: "
                "moved 3 times, from 95 to 107 USDT."
            ),
        ),
        (
            "evened",
            Purpose.BREAK_EVEN,
            "The stop went to the entry at 100 once the price had come 4 USDT (4 %) above it.",
        ),
        (
            "reached",
            Purpose.TAKE_PROFIT,
            "The take-profit stands 8 USDT (8 %) above the entry at 100: at 108 USDT.",
        ),
    ],
)
def test_what_protects_tells_what_touched_it_what_it_closed_and_what_set_its_price(
    replica: Replica, strategy: str, purpose: Purpose, rule: str
) -> None:
    why, entry = of(replica, strategy, purpose), of(replica, strategy, Purpose.ENTRY)

    (bar,) = why["seen"]["data"]["bars"]
    low, high, price = bar[5], bar[4], float(why["fill"]["price"])
    assert bar[0] == SPOT.id
    assert low <= price <= high
    assert why["cause"].endswith(" was touched.")
    assert why["rule"] == rule
    assert why["entry"]["fill"]["ref"] == entry["fill"]["ref"]
    assert (why["entry"]["signal"], why["entry"]["sizing"]) == (entry["signal"], entry["sizing"])
    assert entry["signal"]["strength"] == 1
    assert entry["sizing"]["rule"]["method"] == "fixed_quantity"
    assert why["instead"]["sizing"] == "Closes what is held: 1 BTC."


def test_an_exit_by_signal_has_its_wish_and_closes_what_is_held(replica: Replica) -> None:
    why = of(replica, "signalled", Purpose.SIGNAL)

    assert why["signal"]["strength"] == 0
    assert why["cause"] == "signalled wished to be out."
    assert why["instead"] == {"sizing": "Closes what is held: 1 BTC."}
    assert why["entry"]["signal"]["strength"] == 1


def test_a_time_exit_says_after_how_many_bars(replica: Replica) -> None:
    why = of(replica, "timed", Purpose.TIME)

    assert why["cause"] == "The position was held for 2 bars, the most that its entry allowed."
    assert why["entry"]["fill"]["strategy"] == "timed"


def test_what_a_person_ordered_names_the_person(replica: Replica) -> None:
    bought, sold = of(replica, "typed", Purpose.ENTRY), of(replica, "typed", Purpose.FLATTEN)
    killed, stopped = of(replica, "killed", Purpose.FLATTEN), of(replica, "typed", Purpose.STOP_LOSS)

    assert bought["cause"] == "ada placed it by hand."
    assert bought["instead"]["sizing"] == "ada said how much: 0.5 BTC."
    assert sold["cause"] == "bob placed it by hand."
    assert sold["instead"]["sizing"] == "Closes 0.2 of the 0.5 BTC that are held."
    assert killed["cause"] == "ada threw the kill switch, and closes what is held."
    assert killed["entry"]["fill"]["strategy"] == "killed"
    assert stopped["entry"]["cause"] == bought["cause"]
    assert stopped["instead"]["sizing"] == "Closes what is held: 0.3 BTC."


def test_a_liquidation_says_that_the_venue_closed_it(replica: Replica) -> None:
    why = of(replica, "broke", Purpose.LIQUIDATION)

    assert why["cause"] == "SIM itself closed the position: its margin did not suffice any more."
    assert (why["order"], why["verdict"], why["request"], why["steps"]) == (None, None, None, [])
    assert why["entry"]["fill"]["strategy"] == "broke"
    assert why["ledger"]


def test_a_backtest_of_an_earlier_version_is_still_read_and_says_what_it_lacks(tmp_path: Path) -> None:
    in_a_backtest(tmp_path / "journal", is_old=True)

    replica = replica_of(tmp_path / "journal")
    whys = list(each_fill(replica))

    assert [lacking(each) for each in whys] == [[] for _ in whys]
    assert {each["instead"]["seen"] for each in whys} == {
        "The version that wrote this record left out in which bar it filled: run the backtest again."
    }
    assert of(replica, "stopped", Purpose.STOP_LOSS)["entry"]["signal"]["strength"] == 1


class Told:
    """A live run's replica that is told events one by one."""

    ids: ClassVar[tuple[str, ...]] = ("adjustment 2", "by hand 7", "manual-9", "nobody")

    def __init__(self) -> None:
        of = material()
        self.replica = Replica(header(of, "live"))
        self.seq = 0
        self.take(BarSlice(START + HOUR, (Bar(SPOT.id, "1h", START, 100, 101, 99, 100, 1),)))

    def take(self, event: Recorded) -> None:
        self.seq += 1
        self.replica.take([Record(self.seq, False, event)])

    def fill(self, order_id: str, strategy: str) -> dict[str, Any]:
        """Take a fill of no order of ours and return why it came to be."""
        fill = Fill(
            order_id, order_id, SPOT.id, strategy, Side.BUY, Decimal(1), Decimal(100), Decimal(0), "USDT", 5
        )
        self.take(OrderFilled(5, fill))
        return views.why_fill(self.replica, fill_ref(fill)).model_dump(mode="json")


def test_fills_that_nobody_of_the_run_ordered_say_who_did() -> None:
    told = Told()
    told.take(Control(3, ControlAction.ADJUST, "", "ada", {"reason": "sold on the phone"}))

    whys = {
        id: told.fill(id, strategy)
        for id, strategy in zip(Told.ids, ("killed", "killed", OWNER, "killed"), strict=True)
    }

    assert [lacking(each) for each in whys.values()] == [[]] * 4
    assert whys["adjustment 2"]["trigger"]["data"]["actor"] == "ada"
    assert [each["cause"] for each in whys.values()] == [
        "ada brought our books in line with the account: sold on the phone.",
        "The owner of the account sold or withdrew by hand what a strategy held: it went over to him.",
        "The owner of the account traded it at SIM, outside this run.",
        "SIM told of it, and the run has no order on record that it belongs to.",
    ]
