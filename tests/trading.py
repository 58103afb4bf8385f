"""The record of a bot that was never there: orders, fills and notices, as many as a test of lists wants."""

from decimal import Decimal
from pathlib import Path

from abidance.journal.record import Codec, RunHeader, frame, opening
from abidance.model.command import Submit
from abidance.model.event import BalanceChanged, Control, ControlAction, OrderAccepted, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.order import Fill, OrderRequest, OrderType, Purpose, Side
from abidance.model.outcome import Approved, Decided, Notice, Recorded
from abidance.run.config import load

ID, NAME, START, MINUTE = "BTC/USDT@BINANCE", "EmaCross", 1_600_000_000 * 10**9, 60 * 10**9


class Trading:
    """The journal of a bot that sends one order a minute, the quantity of each its number."""

    def __init__(self, path: Path) -> None:
        instrument = Instrument(ID, Decimal("0.01"), Decimal("0.00001"), Decimal("0.00001"), Decimal(5))
        given = {"instruments": [ID], "strategies": [{"strategy": NAME}], "name": "long"}
        config = load([], given, {}).ready().model_dump(mode="json")
        path.parent.mkdir(parents=True)
        self._codec, self._file = Codec((instrument,)), path.open("wb")
        header = RunHeader("r1", "long", "paper", START, "test", "hash", config, (instrument,))
        first, mark = opening(header)
        self._crc, self._seq, self.count, self._told = mark.crc, 0, 0, 0
        self._file.write(first)
        self._put(BalanceChanged(START, "BINANCE", "USDT", Decimal(10**12), "opening"))
        self._put(Control(START, ControlAction.START, actor="test"))
        self._file.flush()

    def send(self, count: int, *, stop: Decimal | None = None, rests: bool = False) -> None:
        """Send so many orders, and let readers see them; all fill but the first, and those that rest.

        They are entries, or stops at a price.
        """
        for number in range(self.count + 1, self.count + count + 1):
            now = START + number * MINUTE
            request = _entry(number) if stop is None else _stop(number, stop)
            submit = Submit(f"{number:032x}", request, now)
            self._put(Decided(now, (request,), (Approved(request),), (submit,), ()))
            self._put(OrderAccepted(now, submit.order_id))
            if number > 1 and not rests:
                self.fill(number, now)
        self.count += count
        self._file.flush()

    def fill(self, number: int, now: int) -> None:
        """Fill an order."""
        fee = Decimal("0.1")
        fill = Fill(
            str(number), f"{number:032x}", ID, NAME, Side.BUY, Decimal(number), Decimal(100), fee, "USDT", now
        )
        self._put(OrderFilled(now, fill))
        self._file.flush()

    def tell(self, count: int, level: str = "warning") -> None:
        """Tell people so many things, one a minute."""
        for number in range(count):
            now = START + (self.count + self._told + number + 1) * MINUTE
            self._put(Decided(now, (), (), (), (Notice(now, level, "look", f"Look, {number}."),)))
        self._told += count
        self._file.flush()

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _put(self, event: Recorded) -> None:
        self._seq += 1
        framed, self._crc = frame(self._codec.encode(self._seq, False, event), self._crc)
        self._file.write(framed)


def _entry(number: int) -> OrderRequest:
    return OrderRequest(
        NAME, ID, Side.BUY, Decimal(number), purpose=Purpose.ENTRY, decision_price=Decimal(100)
    )


def _stop(number: int, trigger: Decimal) -> OrderRequest:
    return OrderRequest(
        NAME, ID, Side.BUY, Decimal(number), OrderType.STOP, trigger=trigger, purpose=Purpose.STOP_LOSS
    )
