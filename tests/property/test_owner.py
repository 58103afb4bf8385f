"""Whatever the owner does with his own on the accounts: the run decides, owns and risks as if he had done nothing."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.model.account import OWNER
from abidance.model.event import BalanceChanged, FundingPaid, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.order import Fill, Purpose, Side
from abidance.portfolio.portfolio import Portfolio
from abidance.run.byhand import Account, exposed, holdings, lacks, taken_from_strategies
from abidance.run.setup import Material
from tests.property.test_engine import materials
from tests.unit.engine.rig import PERP, SPOT, D, Rig

Event = OrderFilled | BalanceChanged
INSTRUMENTS = {each.id: each for each in (SPOT, PERP)}
PLENTY = D(10) ** 7
sides = st.sampled_from(list(Side))
amounts = st.integers(1, 10**6).map(lambda n: n * D("0.001"))


@st.composite
def deeds(draw: st.DrawFn, number: int) -> Event:
    """Return something that the owner does: he pays in, takes out or trades, in coins, money or contracts."""
    if draw(st.booleans()):
        amount, asset = draw(amounts) * draw(st.sampled_from([1, -1])), draw(st.sampled_from(["USDT", "BTC"]))
        return BalanceChanged(1, "SIM", asset, amount, "transfer", is_owners=True, id=f"t{number}")
    instrument, fee_asset = draw(st.sampled_from([SPOT, PERP])), draw(st.sampled_from(["USDT", "BTC", "BNB"]))
    name, fee = f"hand{number}", draw(st.sampled_from([D(0), D("0.01")]))
    return OrderFilled(
        1,
        Fill(
            name, f"manual-{name}", instrument.id, OWNER, draw(sides), draw(amounts), draw(amounts), fee,
            fee_asset if instrument is SPOT else "USDT", 1, purpose=draw(st.sampled_from([Purpose.ENTRY, Purpose.FLATTEN])),
        ),
    )  # fmt: skip


@settings(max_examples=30)
@given(material=materials(broken=False), data=st.data())
def test_a_run_decides_the_same_whatever_the_owner_does_with_his_own(
    material: Material, data: st.DataObject
) -> None:
    alone, beside = Rig(material), Rig(material)
    states: list[list[tuple[object, ...]]] = [[], []]

    for number in range(14):
        for event in data.draw(st.lists(deeds(number), max_size=1)):
            beside.tell(event)
            beside.tell(event)  # and it is told twice
        for rig, seen in zip((alone, beside), states, strict=True):
            rig.step()
            portfolio, state = rig.state.portfolio, rig.state
            seen.append(
                (
                    rig.engine.equity,
                    state.equity(),
                    state.free("SIM", "USDT"),
                    state.exposure(),
                    portfolio.funds(),
                    portfolio.open_positions(),
                    len(portfolio.round_trips),
                    portfolio.ledger.balances("SIM"),
                    rig.engine._breakers.state("", "", state.now),
                )
            )

    assert states[0] == states[1]
    assert alone.commands == beside.commands
    assert not any(beside.state.portfolio.ledger.totals().values())


def held_by(strategies: Sequence[tuple[str, Instrument, Side, Decimal]]) -> Portfolio:
    """Return a run that has traded a little."""
    portfolio = Portfolio(INSTRUMENTS, "USDT")
    portfolio.apply(BalanceChanged(0, "SIM", "USDT", D(10) ** 6, "opening balance"))
    for number, (strategy, instrument, side, quantity) in enumerate(strategies):
        portfolio.apply(
            OrderFilled(
                0,
                Fill(
                    f"f{number}",
                    f"o{number}",
                    instrument.id,
                    strategy,
                    side,
                    quantity,
                    D(100),
                    D(0),
                    "USDT",
                    0,
                ),
            )
        )
    return portfolio


held = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]), st.sampled_from([SPOT, PERP]), st.just(Side.BUY), st.just(D(1)) | amounts
    ),
    max_size=4,
)


@settings(max_examples=60)
@given(strategies=held, data=st.data())
def test_the_run_loses_nothing_while_the_account_has_what_it_owns(
    strategies: list[tuple[str, Instrument, Side, Decimal]], data: st.DataObject
) -> None:
    portfolio = held_by(strategies)
    before = portfolio.equity(), portfolio.open_positions(), portfolio.ledger.balances("SIM")
    his = {"USDT": PLENTY, "BTC": PLENTY, "BNB": PLENTY}

    for number in range(data.draw(st.integers(0, 12))):
        event = data.draw(deeds(number))
        if isinstance(event, OrderFilled) and event.fill.instrument == PERP.id:
            event = OrderFilled(1, _with_the_run(event.fill))
        portfolio.apply(event)
        there = {
            asset: amount + portfolio.ledger.purse("SIM").get(asset, D(0)) for asset, amount in his.items()
        }
        for asset, amount in portfolio.ledger.balances("SIM").items():
            there[asset] = there.get(asset, D(0)) + amount
        account = Account.of(portfolio, "SIM", INSTRUMENTS, there, lambda _: D(100))
        assert not lacks(account)
        assert not list(taken_from_strategies(account, (), "ref", 2))
        owned = holdings(portfolio, "SIM", INSTRUMENTS)
        assert all(there[asset] >= amount for asset, amount in owned.items())

    assert before == (portfolio.equity(), portfolio.open_positions(), portfolio.ledger.balances("SIM"))


def _with_the_run(fill: Fill) -> Fill:
    """Return a trade in contracts that is not against the strategies: those are one position at the venue."""
    return Fill(
        fill.id, fill.order_id, fill.instrument, OWNER, Side.BUY, fill.quantity, fill.price, fill.fee, "USDT", 1
    )  # fmt: skip


@given(ours=amounts, his=amounts, paid=amounts, sign=st.sampled_from([1, -1]))
def test_of_a_payment_on_the_whole_position_each_bears_what_he_holds(
    ours: Decimal, his: Decimal, paid: Decimal, sign: int
) -> None:
    portfolio = held_by([("a", PERP, Side.BUY, ours)])
    fill = Fill("h", "manual-h", PERP.id, OWNER, Side.BUY, his, D(100), D(0), "USDT", 1)
    portfolio.apply(OrderFilled(1, fill))
    cash, total = portfolio.balance("SIM", "USDT"), sign * paid

    portfolio.apply(FundingPaid(2, PERP.id, "", total, "USDT"))

    got, owners = portfolio.balance("SIM", "USDT") - cash, portfolio.ledger.purse("SIM").get("USDT", D(0))
    assert exposed(portfolio, INSTRUMENTS) == {PERP.id: ours + his}
    assert abs(got - total * ours / (ours + his)) <= D("1e-9")
    assert abs(got + owners - total) <= D("1e-9")


def test_a_record_from_before_there_was_a_purse_is_the_runs() -> None:
    old = {
        "type": "balance_changed",
        "ts": 1,
        "venue": "SIM",
        "asset": "USDT",
        "amount": "5",
        "reason": "transfer",
    }
    event = msgspec.convert(old, BalanceChanged)
    hand = Fill("h", "manual-h", SPOT.id, "manual", Side.BUY, D(2), D(100), D(0), "USDT", 1)
    portfolio = held_by([])

    portfolio.apply(event)
    portfolio.apply(OrderFilled(1, hand))

    assert msgspec.to_builtins(event) == old
    assert portfolio.balance("SIM", "USDT") == D(10) ** 6 + 5 - 200
    assert [(each.strategy, each.quantity) for each in portfolio.open_positions()] == [("manual", D(2))]
    assert not portfolio.ledger.purse("SIM")
