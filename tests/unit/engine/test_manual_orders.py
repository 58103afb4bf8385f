from abidance.model.event import Control, ControlAction
from abidance.model.order import OrderState, Purpose
from abidance.model.outcome import RefusalCode, Refused
from tests.unit.engine.rig import SPOT, D, Rig, Scripted, bars_of, flat, material_of

NAN = float("nan")
Values = dict[str, float | int | str | bool]


def rig_of() -> Rig:
    return Rig(material_of({"one": Scripted([NAN] * 6)}, {SPOT: bars_of(SPOT.id, flat(*[100.0] * 6))}))


def order(**values: float | int | str | bool) -> Control:
    wish: Values = {"instrument": SPOT.id, "side": "buy", "quantity": "1", **values}
    return Control(0, ControlAction.ORDER, "one", "ada", wish)


def test_a_manual_entry_fills_and_brings_the_exits_that_it_asked_for() -> None:
    rig = rig_of()
    rig.step(1)

    rig.tell(order(stop_distance=5.0, take_profit_distance=9))
    rig.step(1)

    assert rig.state.position("one", SPOT.id).quantity == 1
    resting = {each.request.purpose: each.request for each in rig.state.orders.open()}
    assert resting[Purpose.STOP_LOSS].trigger == D("95")
    assert resting[Purpose.TAKE_PROFIT].price == D("109")


def test_a_manual_exit_that_risk_refuses_is_not_tried_again_by_itself() -> None:
    rig = rig_of()
    rig.step(1)

    outcomes = [rig.tell(order(instrument=id, reduce_only=True)) for id in ("X/Y@Z", SPOT.id)]
    rig.step(3)

    codes = [each.code for outcome in outcomes for each in outcome.verdicts if isinstance(each, Refused)]
    assert codes == [RefusalCode.UNKNOWN_INSTRUMENT, RefusalCode.NOT_REDUCING]
    assert not rig.engine.actions.owed
    assert not rig.state.orders.all()


def test_a_resting_order_is_changed_and_taken_back_by_hand() -> None:
    rig = rig_of()
    rig.step(1)
    rig.tell(order(type="limit", price="90"))
    (resting,) = rig.state.orders.open()

    rig.tell(Control(0, ControlAction.AMEND_ORDER, "one", "ada", {"order_id": resting.id, "price": "91"}))
    rig.step(1)
    changed = rig.state.orders.get(resting.id)
    rig.tell(Control(0, ControlAction.CANCEL_ORDER, "one", "ada", {"order_id": resting.id}))
    rig.step(1)
    gone = rig.state.orders.get(resting.id)

    assert changed is not None
    assert changed.request.price == D("91")
    assert gone is not None
    assert gone.state is OrderState.CANCELLED


def test_what_was_mistyped_is_told_and_nothing_happens() -> None:
    rig = rig_of()
    rig.step(1)
    wishes: list[Values] = [
        {"quantity": "NaN"}, {"quantity": "-1"}, {"quantity": 1}, {"quantity": "1e999999999"}, {"side": "up"},
        {"type": "magic"}, {"price": "Infinity"}, {"stop_distance": -1.0}, {"stop_distance": True}, {"unknown": 1},
        {"instrument": ""}, {"time_in_force": 7},
    ]  # fmt: skip

    notices = [rig.tell(order(**wish)).notices for wish in wishes]

    assert [each[0].code for each in notices] == ["manual_refused"] * len(wishes)
    assert not rig.state.orders.all()
