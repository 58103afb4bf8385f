"""What a recorder keeps of a run."""

from abidance.backtest.event import Recorder, columns
from abidance.engine.digest import OutcomeDigest
from abidance.model.instrument import SECOND_NS
from abidance.model.market import Quote, Trade
from abidance.model.outcome import Notice, Outcome
from tests.unit.engine.rig import SPOT, START, Rig, Scripted, flat, rig_of


def recorded(rig: Rig, *, digest: bool = True) -> Recorder:
    return Recorder(rig.engine, tuple(rig.material.strategies), digest=digest)


def test_each_slice_is_a_point_with_equity_and_exposure() -> None:
    rig = rig_of(Scripted([1]), flat(100, 100, 200), dry_run_wallet=1000.0)
    recorder = recorded(rig)
    rig.pump._observe = recorder.observe

    rig.run()

    assert columns(recorder.equity).tolist() == [1000.0, 1000.0, 1100.0]
    assert columns(recorder.exposure).tolist() == [0.0, 0.1, 200 / 1100]


def test_what_strategies_earn_is_kept_when_there_are_several() -> None:
    rig = rig_of({"one": Scripted([1]), "two": Scripted([])}, flat(100, 100, 150))
    recorder = recorded(rig)
    rig.pump._observe = recorder.observe

    rig.run()

    assert {name: profits.tolist() for name, profits in recorder.profits.items()} == {
        "one": [0.0, 0.0, 50.0],
        "two": [0.0, 0.0, 0.0],
    }


def test_ticks_add_at_most_one_point_a_minute() -> None:
    rig = rig_of(Scripted([]), flat(100))
    recorder = recorded(rig)

    for at in range(180):
        recorder.observe(Outcome(Trade(START + at * SECOND_NS, SPOT.id, 100.0, 1.0, True)))
        recorder.observe(Outcome(Quote(START + at * SECOND_NS, SPOT.id, 99.0, 1.0, 101.0, 1.0)))

    assert len(recorder.ts) == 3


def test_refusals_and_notices_are_kept_with_their_time() -> None:
    rig = rig_of(Scripted([-1.0]), flat(100, 100), config={"allow_short": True})
    recorder = recorded(rig)
    rig.pump._observe = recorder.observe

    rig.run()
    recorder.observe(Outcome(rig.outcomes[0].event, notices=(Notice(1, "info", "x", "y"),)))

    assert [(ts, each.code) for ts, each in recorder.refusals] == [
        (START + 3600 * SECOND_NS, "short_not_allowed")
    ]
    assert [notice.code for notice in recorder.notices] == ["x"]


def test_a_digest_depends_on_every_outcome_and_on_their_order() -> None:
    outcomes = [Outcome(Trade(at, SPOT.id, 100.0, 1.0, True)) for at in range(3)]

    digests = set()
    for order in ((0, 1, 2), (0, 2, 1), (0, 1), ()):
        digest = OutcomeDigest()
        for at in order:
            digest.update(outcomes[at])
        digests.add(digest.hexdigest())

    assert len(digests) == 4


def test_a_digest_may_be_read_along_the_way() -> None:
    one, two = OutcomeDigest(), OutcomeDigest()

    for at in range(3000):
        outcome = Outcome(Trade(at, SPOT.id, 100.0, 1.0, True))
        one.update(outcome)
        two.update(outcome)
        if at % 500 == 0:
            one.hexdigest()

    assert one.hexdigest() == two.hexdigest()


def test_a_recorder_without_a_digest_keeps_the_rest() -> None:
    rig = rig_of(Scripted([1]), flat(100, 100))
    recorder = recorded(rig, digest=False)
    rig.pump._observe = recorder.observe

    rig.run()

    assert len(recorder.ts) == 2
    assert recorder.digest.hexdigest() == OutcomeDigest().hexdigest()


def test_an_empty_column_is_an_empty_array() -> None:
    rig = rig_of(Scripted([]), flat(100))

    assert columns(recorded(rig).equity).tolist() == []
