"""Kraken's account: what is asked, what answers prove, what the private stream says."""

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.reference import instrument
from abidance.model.command import Amend, Submit
from abidance.model.errors import VenueError
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument
from abidance.model.order import Order, OrderRequest, OrderState, OrderType, Side, TimeInForce
from abidance.venues.account import Call, Credentials, Execution, KeyExpired, Moved, OrderReport, Page, Proof
from abidance.venues.dialect import Alive, Answered, Closing, Dropped
from abidance.venues.kraken.account import KrakenAccount
from abidance.venues.kraken.refusals import REFUSALS
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Answer
from abidance.venues.trading.wire import Wire
from tests.unit.venues.net_world import HandPulse
from tests.unit.venues.trading_world import PHRASE, SECRET, World

D = Decimal
DATA = json.loads((Path(__file__).parents[2] / "data/wire/accounts.json").read_text())
ID = "4f8c2a6b1d3e4f5a8b7c6d5e4f3a2b1c"
BTC, USD = instrument("BTC/USDT@KRAKEN"), instrument("BTC/USD@KRAKEN")
LTC = Instrument("LTC/USDT@KRAKEN", BTC.tick, BTC.lot, BTC.min_quantity, BTC.min_notional)
ACCOUNT = KrakenAccount([LTC, BTC, USD])
TS = 1_700_000_000 * SECOND_NS


def asked(request: OrderRequest) -> dict[str, str]:
    params = ACCOUNT.submit(Submit(ID, request, TS)).params
    return {name: str(value) for name, value in params.items()}


def theirs(name: str) -> dict[str, str]:
    """Return what ccxt asks, without its number."""
    found = dict(parse_qsl(DATA["orders"]["KRAKEN"][name]))
    del found["nonce"]
    return found


def answer(result: object = None, errors: tuple[str, ...] = (), status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps({"error": list(errors), "result": result}).encode())


ALWAYS = {
    "cl_ord_id": ID,
    "oflags": "fciq",
    "stptype": "cancel-oldest",
    "deadline": "2023-11-14T22:13:23.000Z",
}


@pytest.mark.parametrize(
    ("name", "request_", "besides"),
    [
        (
            "createOrder long precisions",
            OrderRequest("s", BTC.id, Side.BUY, D("0.00012345"), OrderType.LIMIT, D("12345.10")),
            {"timeinforce": "GTC"},
        ),
        ("Spot market sell", OrderRequest("s", LTC.id, Side.SELL, D("0.1")), {}),
        (
            "Stop loss limit order (type 2)",
            OrderRequest("s", LTC.id, Side.SELL, D("0.1"), OrderType.STOP_LIMIT, D(54), D(55)),
            {"timeinforce": "GTC", "trigger": "last"},
        ),
        (
            "take profit market order (type 2)",
            OrderRequest("s", LTC.id, Side.SELL, D("0.1"), OrderType.TAKE_PROFIT, trigger=D(120)),
            {"trigger": "last"},
        ),
        (
            "take profit limit order",
            OrderRequest("s", LTC.id, Side.SELL, D("0.1"), OrderType.TAKE_PROFIT_LIMIT, D(110), D(120)),
            {"timeinforce": "GTC", "trigger": "last"},
        ),
    ],
)
def test_orders_are_asked_for_as_ccxt_asks_with_our_id_and_a_deadline_besides(
    name: str, request_: OrderRequest, besides: dict[str, str]
) -> None:
    found = asked(request_)

    assert found == theirs(name) | ALWAYS | besides


def test_a_stop_goes_to_the_venue_as_a_stop_and_not_as_a_plain_order() -> None:
    stop = OrderRequest(
        "s", BTC.id, Side.SELL, D("0.5"), OrderType.STOP, trigger=D("30000.0"), reduce_only=True
    )

    found = asked(stop)

    assert (found["ordertype"], found["price"], found["trigger"]) == ("stop-loss", "30000", "last")
    assert "price2" not in found
    assert ACCOUNT.submit(Submit(ID, stop, TS)).is_urgent


@pytest.mark.parametrize("force", TimeInForce)
def test_a_limit_order_says_how_long_it_waits(force: TimeInForce) -> None:
    request = OrderRequest("s", BTC.id, Side.BUY, D(1), OrderType.LIMIT, D(1), time_in_force=force)

    assert asked(request)["timeinforce"] == force.value.upper()


def test_a_post_only_order_says_so_and_prices_have_no_exponent() -> None:
    request = OrderRequest("s", BTC.id, Side.BUY, D("1E-8"), OrderType.LIMIT, D("1E+5"), post_only=True)

    found = asked(request)

    assert (found["oflags"], found["volume"], found["price"]) == ("fciq,post", "0.00000001", "100000")


def test_changes_and_questions_name_the_order_as_ccxt_does() -> None:
    order = Order("1234", OrderRequest("s", BTC.id, Side.BUY, D(1)), OrderState.OPEN, TS)
    change = Amend("1234", D("0.0001"), D(68_000), None, TS)

    assert ACCOUNT.cancel(order, "").params == theirs("spot cancel order by client order id")
    assert ACCOUNT.cancel(order, "OX").params == {"txid": "OX"}
    assert ACCOUNT.cancel_all(BTC.id).params == theirs("Cancel spot orders")
    assert ACCOUNT.amend(order, change, "OP3KR4-WARBU-MOLAZO").params == theirs(
        "edit a limit orders amount and price"
    )
    assert [(call.path, call.params) for call in ACCOUNT.find(order)] == [
        ("OpenOrders", {}),
        ("ClosedOrders", {"start": str(TS // SECOND_NS // 600 * 600 - 601)}),
    ]
    assert {call.told for call in ACCOUNT.find(order)} == {"1234"}


def test_orders_of_ten_minutes_are_looked_for_by_the_same_questions() -> None:
    first, second, later = (
        Order(id, OrderRequest("s", BTC.id, Side.BUY, D(1)), OrderState.OPEN, seconds * SECOND_NS)
        for id, seconds in (("1", 600), ("2", 1_199), ("3", 1_200))
    )

    asked = [[(call.path, call.params) for call in ACCOUNT.find(each)] for each in (first, second, later)]

    assert asked[0] == asked[1] == [("OpenOrders", {}), ("ClosedOrders", {"start": "-1"})]
    assert asked[2] != asked[1]


def test_an_order_that_a_full_page_does_not_show_is_asked_for_alone() -> None:
    account = KrakenAccount([BTC])
    one = Order("1234", OrderRequest("s", BTC.id, Side.BUY, D(1)), OrderState.OPEN, 600 * SECOND_NS)
    page = {f"O{n}": order(status="closed", closetm=700.0, cl_ord_id=f"{n}") for n in range(50)}
    asked = []

    for call in account.find(one):
        asked.append((call.path, call.params))
        account.found(
            answer({"closed": page if "start" in call.params else {}})._replace(told="1234"), BTC.id
        )

    assert [params for _, params in asked] == [{}, {"start": "-1"}, {"cl_ord_id": "1234"}]
    assert [call.params for call in account.find(one)] == [{}, {"cl_ord_id": "1234"}]


def test_an_id_that_comes_back_with_dashes_or_in_capitals_is_ours() -> None:
    told = f"{ID[:8]}-{ID[8:12]}-{ID[12:16]}-{ID[16:20]}-{ID[20:]}".upper()

    report = ACCOUNT.found(answer({"open": {"A": order(cl_ord_id=told)}})._replace(told=ID), USD.id)

    assert report is not None


class Then(HandPulse):
    """A moment that stays."""

    def __init__(self, moment: int) -> None:
        super().__init__()
        self._moment = moment

    def wall(self) -> int:
        return self._moment


def signature(secret: str, path: str, nonce: str, body: str) -> str:
    inner = path.encode() + hashlib.sha256(f"{nonce}{body}".encode()).digest()
    return base64.b64encode(hmac.digest(base64.b64decode(secret), inner, "sha512")).decode()


async def test_requests_are_signed_as_krakens_documentation_signs_and_each_bears_a_greater_number() -> None:
    vector = DATA["signing"]["kraken"]
    pulse = Then(int(vector["nonce"]) * MS_NS)
    wire = Wire(ACCOUNT, Credentials("k", vector["secret"]), object(), Budgets(pulse), pulse)  # type: ignore[arg-type]
    await wire.open()
    params = {"ordertype": "limit", "pair": "XBTUSD", "price": "37500", "type": "buy", "volume": "1.25"}
    wire.offset = -5 * SECOND_NS  # tells nothing: numbers are ours

    method, url, headers, body = wire.signed(Call(("private",), "POST", "AddOrder", params))
    first = ACCOUNT.submit(Submit(ID, OrderRequest("s", BTC.id, Side.BUY, D(1)), TS))
    _, _, signed, sent = wire.signed(first)

    assert (method, url) == ("POST", "https://api.kraken.com/0/private/AddOrder")
    assert body is not None
    assert sent is not None
    assert body.decode() == vector["payload"]
    assert headers["API-Sign"] == vector["signature"]
    nonce = parse_qs(sent.decode())["nonce"][0]
    assert int(nonce) > int(vector["nonce"])
    assert signed["API-Sign"] == signature(vector["secret"], "/0/private/AddOrder", nonce, sent.decode())


# --- what answers prove


@pytest.mark.parametrize("text", sorted(REFUSALS))
def test_a_listed_error_proves_that_nothing_was_taken(text: str) -> None:
    assert ACCOUNT.proof(answer(errors=(text,)), BTC.id).proof is Proof.REFUSED
    assert ACCOUNT.proof(answer(errors=(f"{text}:price",)), BTC.id).proof is Proof.REFUSED
    assert ACCOUNT.proof(answer(errors=(text,), status=502), BTC.id).proof is Proof.UNKNOWN
    assert ACCOUNT.proof(answer(errors=(text, "EService:Busy")), BTC.id).proof is Proof.UNKNOWN


@pytest.mark.parametrize(
    ("found", "proof"),
    [
        (answer(errors=("EOrder:Unknown order",)), Proof.ABSENT),
        (answer(errors=("EAPI:Invalid nonce",)), Proof.LATE),
        (answer(errors=("EService:Deadline elapsed",)), Proof.UNKNOWN),
        (answer(errors=("EService:Unavailable",)), Proof.UNKNOWN),
        (answer(errors=("EService:Busy",)), Proof.UNKNOWN),
        (answer(errors=("EGeneral:Internal error",)), Proof.UNKNOWN),
        (answer(errors=("EDatabase:Internal error",)), Proof.UNKNOWN),
        (answer(errors=("EOrder:Something new",)), Proof.UNKNOWN),
        (answer(errors=("WSomething:is odd",), result={"count": 1}), Proof.DONE),
        (answer(result={"count": 1, "pending": True}), Proof.UNKNOWN),
        (answer(result={"count": 0}), Proof.UNKNOWN),
        (answer(result={}), Proof.UNKNOWN),
        (answer(result={"amend_id": "TJSMEH-AA67V-YUSQ6O"}), Proof.DONE),
        (Answer(200, {}, b"<html>"), Proof.UNKNOWN),
        (Answer(200, {}, b'{"error":"no list"}'), Proof.UNKNOWN),
        (Answer(520, {}, b""), Proof.UNKNOWN),
    ],
)
def test_an_answer_proves_no_more_than_it_says(found: Answer, proof: Proof) -> None:
    assert ACCOUNT.proof(found, BTC.id).proof is proof


def test_a_new_order_is_known_by_krakens_number_from_then_on() -> None:
    found = Answer(200, {}, json.dumps(DATA["kraken_rest"]["add_order"]).encode())

    reply = ACCOUNT.proof(found, BTC.id)

    assert (reply.proof, reply.venue_id) == (Proof.DONE, "OEKVV2-IH52O-TPL6GZ")


# --- what is found


def test_open_orders_are_read_and_those_of_other_pairs_left_out() -> None:
    found = Answer(200, {}, json.dumps(DATA["kraken_rest"]["open_orders"]).encode())

    (report,) = ACCOUNT.read_orders(found)

    assert (report.order_id, report.venue_id) == ("1234", "OC2Z3W-HREW5-IN6YFD")
    assert (report.instrument, report.state) == (USD.id, OrderState.OPEN)
    assert (report.quantity, report.filled, report.price, report.trigger) == (
        D("0.0001"),
        D(0),
        D(70_000),
        None,
    )


def order(**given: Any) -> dict[str, Any]:
    described = {"pair": "XXBTZUSD", "type": "sell", "ordertype": "limit", "price": "1", "price2": "0"}
    return {"status": "open", "opentm": 1.5, "vol": "2", "vol_exec": "0", "descr": described} | given


@pytest.mark.parametrize(
    ("kind", "price", "trigger"),
    [
        ("stop-loss", None, "30000"),
        ("take-profit", None, "30000"),
        ("stop-loss-limit", "29900", "30000"),
        ("take-profit-limit", "29900", "30000"),
        ("limit", "30000", None),
    ],
)
def test_what_kraken_lists_first_is_the_trigger_where_an_order_has_one(
    kind: str, price: str | None, trigger: str | None
) -> None:
    described = {
        "pair": "XXBTZUSD", "type": "sell", "ordertype": kind, "price": "30000",
        "price2": price if trigger and price else "0",
    }  # fmt: skip

    (report,) = ACCOUNT.read_orders(answer(result={"open": {"A": order(descr=described)}}))

    assert (report.price, report.trigger) == (price and D(price), trigger and D(trigger))


def test_of_two_orders_with_one_id_the_newest_is_found() -> None:
    orders = {
        "OLD": order(status="closed", cl_ord_id=ID),
        "NEW": order(opentm=9.5, status="canceled", cl_ord_id=ID),
        "OTHER": order(opentm=10.5, cl_ord_id="another"),
        "BY HAND": order(opentm=11.5),
    }

    report = ACCOUNT.found(answer({"closed": orders})._replace(told=ID), USD.id)

    assert report is not None
    assert (report.venue_id, report.state) == ("NEW", OrderState.CANCELLED)
    assert ACCOUNT.found(answer({"open": {}})._replace(told=ID), USD.id) is None


def test_an_order_with_our_id_is_found_however_its_pair_is_spelt() -> None:
    strange = {"pair": "XBTUSD.x", "type": "buy", "ordertype": "limit", "price": "1"}

    found = answer({"open": {"A": order(descr=strange, cl_ord_id=ID)}})._replace(told=ID)

    report = ACCOUNT.found(found, USD.id)

    assert report is not None
    assert (report.order_id, report.instrument) == (ID, USD.id)


def test_a_trailing_stop_of_somebodys_hand_does_not_hide_the_other_orders() -> None:
    strange = {"pair": "XBTUSD", "type": "sell", "ordertype": "trailing-stop", "price": "+50.0000%"}

    reports = ACCOUNT.read_orders(answer({"open": {"A": order(descr=strange), "B": order(vol_exec="1")}}))

    assert [(each.venue_id, each.state, each.price) for each in reports] == [
        ("A", OrderState.OPEN, None),
        ("B", OrderState.PARTIAL, D(1)),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        answer(errors=("EGeneral:Internal error",)),
        answer({"open": {"A": order(status="new to us", cl_ord_id=ID)}}),
        answer({"open": {"A": order(vol="NaN", cl_ord_id=ID)}}),
        answer({"open": {"A": order(vol="-1", cl_ord_id=ID)}}),
        answer({"open": []}),
        answer({"open": {"A": order(opentm=1e300, cl_ord_id=ID)}}),
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b'{"error":[]}'),
        Answer(503, {}, b""),
    ],
)
def test_what_is_no_answer_to_a_question_is_never_taken_for_nothing(bad: Answer) -> None:
    with pytest.raises(VenueError):
        ACCOUNT.read_orders(bad)
    with pytest.raises(VenueError):
        ACCOUNT.found(bad._replace(told=ID), USD.id)
    with pytest.raises(VenueError):
        ACCOUNT.read_executions(bad, USD.id)
    with pytest.raises(VenueError):
        ACCOUNT.read_funds(bad)


def test_orders_are_none_only_where_a_list_of_them_says_so() -> None:
    with pytest.raises(VenueError):
        ACCOUNT.read_orders(answer({}))
    with pytest.raises(VenueError):
        ACCOUNT.found(answer({})._replace(told=ID), USD.id)

    assert list(ACCOUNT.read_orders(answer({"open": {}}))) == []
    assert ACCOUNT.found(answer({"closed": {}, "count": 0})._replace(told=ID), USD.id) is None


def test_executions_have_their_fee_in_the_quote_asset() -> None:
    found = Answer(200, {}, json.dumps(DATA["kraken_rest"]["trades_history"]).encode())

    page = ACCOUNT.read_executions(found, USD.id)

    expected = Execution(
        "TIMIRG-WUNNE-RRJ6GT", "", "OSJVN7-A2AE-63WZV", USD.id, Side.SELL, D("0.00010000"), D("72026.50000"),
        D("0.01873"), "USD", 1710429248305224000,
    )  # fmt: skip
    assert page == Page((expected,))


def test_a_full_page_leads_on_from_its_oldest_execution() -> None:
    trade = {"ordertxid": "O", "pair": "XBTUSDT", "type": "buy", "price": "1", "fee": "0", "vol": "1"}
    trades = {f"T{n}": trade | {"time": 1_000.0 - n} for n in range(50)}

    page = ACCOUNT.read_executions(answer({"trades": trades, "count": 70}), BTC.id)

    assert page.onward == {"end": "T49"}
    assert [each.id for each in page.executions][:2] == ["T49", "T48"]
    assert ACCOUNT.executions(BTC.id, 130 * SECOND_NS + 5).params == {
        "start": "119",
        "consolidate_taker": "false",
    }


def test_balances_have_our_names_and_time_is_the_middle_of_its_second() -> None:
    rows = {
        "ZUSD": {"balance": "25.5", "hold_trade": "5.5"},
        "XXBT": {"balance": "1.2", "hold_trade": "0"},
        "XBT.F": {"balance": "3", "hold_trade": "0"},
        "USDT": {"balance": "0", "hold_trade": "0"},
    }

    found = ACCOUNT.read_funds(answer(rows))
    now = ACCOUNT.read_clock(answer({"unixtime": 1_688_669_448, "rfc1123": "x"}))

    assert [(each.asset, each.total, each.free) for each in found] == [
        ("USD", D("25.5"), D("20.0")),
        ("BTC", D("1.2"), D("1.2")),
        ("XBT.F", D(3), D(3)),
    ]
    assert now == 1_688_669_448_500_000_000


# --- the private stream


def stream() -> Any:
    made = KrakenAccount([BTC, USD]).stream
    made.endpoint(answer({"token": "a-token", "expires": 900}))
    return made


def executions(*rows: dict[str, Any], type: str = "update") -> str:
    moment = {"timestamp": "2024-05-18T12:01:56.165888Z"}
    return json.dumps({"channel": "executions", "type": type, "data": [moment | row for row in rows]})


NEW = {
    "order_id": "O1", "cl_ord_id": ID, "symbol": "BTC/USD", "side": "sell", "order_qty": 0.3, "limit_price": 1e5,
    "exec_type": "pending_new", "order_status": "pending_new",
}  # fmt: skip
TRADE = {
    "order_id": "O1", "exec_id": "T1", "exec_type": "trade", "trade_id": 7, "symbol": "BTC/USD", "side": "sell",
    "last_qty": 0.1, "last_price": 100000.1, "liquidity_ind": "m", "order_status": "partially_filled",
    "fees": [{"asset": "USD", "qty": 0.26}],
}  # fmt: skip


def test_the_login_takes_the_token_and_asks_for_orders_but_not_for_old_trades() -> None:
    frames = [json.loads(frame) for frame in stream().login(Credentials("k", "s"), TS)]

    assert [frame["params"]["channel"] for frame in frames] == ["executions", "balances"]
    assert all(frame["params"]["token"] == "a-token" for frame in frames)
    assert frames[0]["params"]["snap_trades"] is False


@pytest.mark.parametrize(
    "bad", [answer(errors=("EAPI:Invalid key",)), Answer(200, {}, b"x"), Answer(500, {}, b"")]
)
def test_without_a_token_there_is_no_stream(bad: Answer) -> None:
    with pytest.raises(VenueError):
        KrakenAccount([BTC]).stream.endpoint(bad)


def test_an_order_is_followed_though_its_later_frames_say_only_what_changed() -> None:
    heard = stream()

    told = [
        *heard.hear(executions(NEW)),
        *heard.hear(executions({"order_id": "O1", "exec_type": "new", "order_status": "new"})),
        *heard.hear(executions(TRADE)),
        *heard.hear(
            executions(
                {
                    "order_id": "O1",
                    "exec_type": "canceled",
                    "order_status": "canceled",
                    "cum_qty": 0.1,
                    "reason": "User requested",
                }
            )
        ),
    ]

    states = [(each.order_id, each.state, each.filled) for each in told if isinstance(each, OrderReport)]
    (trade,) = [each for each in told if isinstance(each, Execution)]
    assert states == [
        (ID, OrderState.OPEN, D(0)),
        (ID, OrderState.OPEN, D(0)),
        (ID, OrderState.CANCELLED, D("0.1")),
    ]
    assert (trade.id, trade.order_id, trade.venue_id, trade.instrument) == ("T1", ID, "O1", USD.id)
    assert (trade.quantity, trade.price, trade.fee, trade.fee_asset) == (
        D("0.1"),
        D("100000.1"),
        D("0.26"),
        "USD",
    )
    assert trade.is_maker


def test_the_last_trade_does_not_end_an_order_but_the_word_that_it_is_filled_does() -> None:
    heard = stream()
    heard.hear(executions(NEW))

    first = heard.hear(executions(TRADE | {"last_qty": 0.3}))
    last = heard.hear(
        executions({"order_id": "O1", "exec_type": "filled", "order_status": "filled", "cum_qty": 0.3})
    )

    assert [type(each) for each in first] == [Execution]
    assert [(each.state, each.filled) for each in last] == [(OrderState.FILLED, D("0.3"))]


def test_what_was_never_heard_of_is_left_to_the_questions() -> None:
    heard = stream()

    gone = heard.hear(executions({"order_id": "O9", "exec_type": "canceled", "order_status": "canceled"}))
    (trade,) = heard.hear(executions(TRADE | {"order_id": "O9"}))
    other = heard.hear(executions(TRADE | {"symbol": "FET/USD"}))

    assert list(gone) == [Alive()]
    assert (trade.order_id, trade.venue_id) == ("", "O9")
    assert list(other) == [Alive()]


def test_money_that_came_is_told_and_what_orders_did_is_not() -> None:
    entry = {
        "asset": "USD",
        "amount": 10.5,
        "fee": 0.5,
        "ledger_id": "L1",
        "timestamp": "2024-05-18T12:01:56Z",
    }
    frame = json.dumps(
        {
            "channel": "balances",
            "type": "update",
            "data": [entry | {"type": "deposit"}, entry | {"type": "trade"}],
        }
    )

    moved, other = stream().hear(frame)

    assert isinstance(moved, Moved)
    assert (moved.asset, moved.amount, moved.id, moved.reason) == ("USD", D("10.0"), "L1", "deposit")
    assert other == Alive()


def test_recorded_frames_are_read() -> None:
    heard = stream()

    told = [news for frame in DATA["kraken_frames"] for news in heard.hear(json.dumps(frame))]

    assert not [each for each in told if isinstance(each, Dropped)]
    assert [each.id for each in told if isinstance(each, Execution)] == ["B1Y0D9-6JIJG-W1IB7L"]
    assert KeyExpired() in told
    assert any(isinstance(each, Answered) and not each.error for each in told)


def test_maintenance_ends_the_stream_and_a_refusal_is_told() -> None:
    status = '{"channel":"status","type":"update","data":[{"system":"maintenance"}]}'
    refused = '{"method":"subscribe","success":false,"error":"EAccount:Invalid permissions","req_id":1}'

    assert stream().hear(status) == (Closing(),)
    assert stream().hear(refused) == (Answered(1, "EAccount:Invalid permissions"),)


def test_a_frame_cut_anywhere_is_dropped_and_nothing_worse() -> None:
    for frame in (executions(NEW, TRADE), *map(json.dumps, DATA["kraken_frames"])):
        for end in range(len(frame)):
            told = stream().hear(frame[:end])
            assert [type(each) for each in told] == [Dropped]


wrong: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", [], {}, -1, 1e308, "NaN", "1e999999", True, [[]], "2024", 10**40]
)


@given(st.sampled_from(sorted(NEW | TRADE)), wrong, st.sampled_from([NEW, TRADE]))
def test_wrong_values_never_raise_and_never_become_a_fill(name: str, value: Any, row: dict[str, Any]) -> None:
    heard = stream()

    told = heard.hear(executions(row | {name: value}))

    for each in told:
        if isinstance(each, Execution):
            assert each.quantity > 0
            assert all(value.is_finite() for value in (each.quantity, each.price, each.fee))


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_noise_never_raises(frame: bytes | str) -> None:
    assert len(stream().hear(frame)) == 1


# --- numbers that are too small


async def test_a_process_whose_clock_was_set_back_is_heard_again_soon() -> None:
    """Kraken has seen greater numbers of the process before it, and refuses all that follow, questions too."""
    world = World(venue="KRAKEN")
    world.pulse.skew = 40 * SECOND_NS
    await world.start()
    stop = await world.guarded()
    await world.stop()
    world.pulse.skew = 0
    began = len(world.answers)

    await world.restart()
    await world.advance(3)
    refused = [each for each in world.answers[began:] if b"EAPI:Invalid nonce" in each.body]
    await world.advance(10)
    world.cancel(stop)
    await world.advance(2)
    await world.stop()

    assert 0 < len(refused) <= 5
    assert world.gateway.doubts == {}
    assert world.told(stop)[-1] == "OrderCancelled"


async def test_somebody_else_who_asks_with_the_key_costs_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """`abidance reconcile` beside a bot: a request of the bot overtakes one that had its number before."""
    world = await World(venue="KRAKEN").start()
    await world.advance(20)
    funds, request = world.gateway.dialect.funds(), world.request
    credentials = Credentials("a-key", SECRET, PHRASE)
    here = "http://127.0.0.1"
    other = Wire(world.gateway.dialect, credentials, world, Budgets(world.pulse), world.pulse, here)
    await other.open()

    async def overtaken(*asked: Any) -> Answer:
        monkeypatch.setattr(world, "request", request)
        await world.wire.ask(funds)
        return await request(*asked)

    monkeypatch.setattr(world, "request", overtaken)
    answers, entries = [], []
    for _ in range(6):
        await world.advance(0.25)
        answers.append(await other.ask(funds))
        await world.advance(0.25)
        entries.append(world.submit(quantity="0.01"))
    await world.advance(2)
    await world.stop()

    assert any(b"Invalid nonce" in each.body for each in world.answers)
    assert not any(b"Invalid nonce" in each.body for each in answers)
    assert [world.told(each)[-1] for each in entries] == ["OrderFilled"] * 6


class Deaf:
    """A venue to which no number is ever great enough."""

    async def request(self, *_: object) -> Answer:
        return Answer(200, {}, b'{"error":["EAPI:Invalid nonce"]}')


async def test_a_number_leaps_no_further_than_an_hour_ahead_of_the_clock() -> None:
    pulse = Then(TS)
    wire = Wire(ACCOUNT, Credentials("k", SECRET), Deaf(), Budgets(HandPulse()), pulse)  # type: ignore[arg-type]
    wire.leaps = True
    await wire.open()

    for _ in range(9):
        await wire.ask(ACCOUNT.funds())

    assert wire._nonce - TS // MS_NS <= 3_600_000 + 100
