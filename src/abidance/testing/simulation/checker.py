"""Judges a run from outside: it reads the exchange's true ledger and the raw bytes of our journal, and nothing else.

It shares no code with what it judges: the life of an order, the sums and the limits are written here a second time.
The first thing that does not hold is kept in `failure`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from abidance.testing.simulation.reading import JournalBytes, Told

ZERO = Decimal(0)
SECOND = 1_000_000_000
KILL_WITHIN = SECOND // 2
"""How long after the kill switch was thrown an entry may still leave, in ns."""
STALE = 15 * SECOND
"""Without a quote for so long nothing may be entered, in ns."""
BARE, LOST = 2 * SECOND, 7 * SECOND
"""How long what is held may be without protection at a time, also when the venue itself ended the stop, in ns.

The bot leaves at market after 5 s, and that travels."""
MOST = Decimal("0.25")
SLACK = Decimal("1.02")
"""What one asset may be of equity, and how much more it may be seen as here, where prices are a moment older."""
CLOSED = frozenset({"filled", "cancelled", "expired", "rejected", "abandoned"})
_FROM: Mapping[str, frozenset[str]] = {
    "accepted": frozenset({"sent", "unknown"}),
    "unknown": frozenset({"sent", "open", "partial"}),
    "abandoned": frozenset({"unknown"}),
    "rejected": frozenset({"sent", "unknown", "open"}),
    "cancelled": frozenset({"sent", "unknown", "open", "partial"}),
    "expired": frozenset({"sent", "unknown", "open", "partial"}),
}
"""From which states an order may be told to have come to one."""


class Failure(NamedTuple):
    """What did not hold: a rule's name, and a sentence."""

    rule: str
    text: str
    cause: BaseException | None = None


class Part(Protocol):
    """One true execution, in ticks and lots."""

    id: int
    price: int
    lots: int
    fee: Decimal
    fee_asset: str


@dataclass
class Intent:
    """One order as the journal tells it."""

    id: str
    side: str
    quantity: Decimal
    reduces: bool
    price: Decimal
    end: int
    state: str = "sent"
    filled: Decimal = ZERO

    @property
    def is_open(self) -> bool:
        """Return True until it has ended."""
        return self.state not in CLOSED


@dataclass
class Placed:
    """One order as the exchange has it."""

    number: int
    client_id: str
    state: str = "open"
    filled: int = 0

    @property
    def works(self) -> bool:
        """Return True while it may fill."""
        return self.state in ("waiting", "open", "partial")


@dataclass
class Venue:
    """What truly happened at the exchange."""

    orders: dict[int, Placed] = field(default_factory=dict)
    by_client: dict[str, list[Placed]] = field(default_factory=dict)
    parts: dict[str, tuple[str, Part]] = field(default_factory=dict)

    def entry(self, entry: Any) -> None:
        """Take the next line of the exchange's history."""
        if not entry.order:
            return
        placed = self.orders.get(entry.order)
        if placed is None:
            placed = self.orders[entry.order] = Placed(entry.order, entry.client_id)
            self.by_client.setdefault(entry.client_id, []).append(placed)
        placed.state, placed.filled = str(entry.state), entry.filled
        if entry.part is not None:
            self.parts[f"{entry.part.id}/{entry.order}"] = (entry.client_id, entry.part)


@dataclass
class Story:
    """What the journal tells, summed up."""

    intents: dict[str, Intent] = field(default_factory=dict)
    fills: dict[str, str] = field(default_factory=dict)
    cash: dict[str, Decimal] = field(default_factory=dict)
    owned: dict[str, Decimal] = field(default_factory=dict)
    price: Decimal = ZERO
    killed: bool = False
    doubts: tuple[str, ...] = ()
    shut: set[tuple[str, str]] = field(default_factory=set)
    """Circuits that let no entry through."""
    certified: bool = False

    @property
    def held(self) -> Decimal:
        """Return the position."""
        return sum(self.owned.values(), ZERO)

    def hold(self, owner: str, sign: int, quantity: Decimal, lot: Decimal) -> None:
        """Book what is held; what a sale leaves of less than a lot can never be sold, and is no position."""
        before = self.owned.get(owner, ZERO)
        now = before + sign * quantity
        self.owned[owner] = ZERO if abs(now) < lot and sign < 0 < before else now

    def move(self, asset: str, amount: Decimal) -> None:
        """Book an amount."""
        self.cash[asset] = self.cash.get(asset, ZERO) + amount


class Checker:
    """Holds the rules over one run in one spot market."""

    def __init__(self, base: str, quote: str, tick: Decimal, lot: Decimal, least: Decimal) -> None:
        self.failure: Failure | None = None
        self.venue = Venue()
        self.story = Story()
        self.journal = JournalBytes(self._record)
        self.heard_at = 0
        self.killed_at: int | None = None
        self.checks = 0
        self._base, self._quote, self._tick, self._lot, self._least = base, quote, tick, lot, least
        self._left: dict[str, int] = {}
        self._bare_since: int | None = None
        self._lost_at = 0
        self._again = False
        self._now: Callable[[], int] = lambda: 0

    def fail(self, rule: str, text: str, cause: BaseException | None = None) -> None:
        """Note that a rule does not hold; the first one counts."""
        if self.failure is None:
            self.failure = Failure(rule, text, cause)

    def at(self, now: Callable[[], int]) -> None:
        """Let the true time (ns UTC) be known."""
        self._now = now

    def _hold(self, rule: str, holds: bool, text: str) -> None:
        self.checks += 1
        if not holds:
            self.fail(rule, text)

    # --- what happens

    def began(self, data: bytes) -> None:
        """Take a journal that is new, or that another process goes on with: all of it is read again."""
        self.story, self._again = Story(), True
        self.journal.begin(data)
        try:
            self.journal.read()
        finally:
            self._again = False

    def was_cut(self, length: int) -> None:
        """Take note that the journal's file was cut."""
        self.began(bytes(self.journal.data[:length]))

    def leaves(self, order_id: str, now: int) -> None:
        """Take note that the request of an order leaves."""
        intent = self.story.intents.get(order_id)
        times = self._left[order_id] = self._left.get(order_id, 0) + 1
        durable = intent is not None and intent.end <= self.journal.durable
        self._hold("intent first", durable, f"order {order_id} leaves before its intent is on the disk")
        if intent is None:
            return
        again = intent.reduces and not any(each.works for each in self.venue.by_client.get(order_id, ()))
        self._hold("sent once", times == 1 or again, f"order {order_id} leaves for the {times}th time")
        late = self.killed_at is not None and now > self.killed_at + KILL_WITHIN
        self._hold("killed", not late or intent.reduces, f"entry {order_id} leaves after the kill switch")

    def _record(self, event: Told, end: int) -> None:
        kind = event.get("type", "")
        if kind == "decided":
            for command in event.get("commands", ()):
                if command["type"] == "submit":
                    self._intended(command, end)
        elif kind == "quote":
            self.story.price = (Decimal(repr(event["bid"])) + Decimal(repr(event["ask"]))) / 2
        elif kind == "filled":
            self._filled(event["fill"])
        elif kind in _FROM:
            self._moved(kind, event["order_id"])
        elif kind == "balance_changed":
            self.story.move(event["asset"], Decimal(event["amount"]))
        elif kind == "venue_status":
            self.story.doubts = tuple(event.get("reasons", ()))
            broken = [each for each in self.story.doubts if "the program failed" in each]
            self._hold("program", not broken or self._again, " ".join(broken))
        elif kind == "circuit":
            self._circuit((event["venue"], event["part"]), event["state"])
        elif kind == "feed_status" and event["kind"] == "quotes":
            self.story.certified = event["state"] == "certified"
        elif kind == "control" and event["action"] in ("kill", "release"):
            self.story.killed = event["action"] == "kill"

    def _circuit(self, where: tuple[str, str], state: str) -> None:
        self.story.shut.discard(where)
        if state == "open" or (state == "half_open" and where[1] != "orders"):
            self.story.shut.add(where)

    # --- intents

    def _intended(self, command: Told, end: int) -> None:
        request, story, id = command["request"], self.story, command["order_id"]
        price = Decimal(request.get("price") or request.get("decision_price") or 0) or story.price
        quantity, reduces = Decimal(request["quantity"]), bool(request.get("reduce_only", False))
        self._hold("one intent", id not in story.intents, f"order {id} is intended twice")
        intent = Intent(id, request["side"], quantity, reduces, price, end)
        before = [each for each in story.intents.values() if each.is_open and not each.reduces]
        story.intents[id] = intent
        if reduces or self._again:
            return
        self._hold("killed", not story.killed, f"entry {id} is decided while the kill switch is thrown")
        self._hold("doubt", not story.doubts, f"entry {id} is decided in doubt: {story.doubts}")
        self._hold("circuit", not story.shut, f"entry {id} is decided while circuits are open: {story.shut}")
        self._hold("stale", story.certified, f"entry {id} is decided on quotes that are not certified")
        age = self._now() - self.heard_at
        self._hold("stale", age <= STALE, f"entry {id} is decided {age / SECOND:.1f} s after the last quote")
        unknown = [each.id for each in story.intents.values() if each.state == "unknown"]
        self._hold("unknown", not unknown, f"entry {id} is decided while {unknown} are unknown")
        worst = story.held * story.price + quantity * price
        worst += sum(((each.quantity - each.filled) * each.price for each in before), ZERO)
        equity = story.cash.get(self._quote, ZERO) + story.cash.get(self._base, ZERO) * story.price
        holds = worst <= MOST * equity * SLACK
        self._hold("limits", holds, f"entry {id} may lead to {worst:.0f} of {equity:.0f} {self._quote}")

    # --- what became of them

    def _filled(self, fill: Told) -> None:
        story, order_id = self.story, fill["order_id"]
        name = fill["id"]
        self._hold("fills once", name not in story.fills, f"fill {name} is told twice")
        story.fills[name] = order_id
        quantity, price, fee = (Decimal(fill[each]) for each in ("quantity", "price", "fee"))
        sign = 1 if fill["side"] == "buy" else -1
        self._is_true(fill, quantity, price, fee)
        story.hold(
            "manual" if order_id.startswith("manual-") else "ours",
            sign,
            quantity - sign * self._taken(fill, fee),
            self._lot,
        )
        story.move(self._base, sign * quantity)
        story.move(self._quote, -sign * quantity * price)
        story.move(fill["fee_asset"], -fee)
        intent = story.intents.get(order_id)
        if intent is None:
            self._hold(
                "one intent", order_id.startswith("manual-"), f"fill {name} is of no order: {order_id}"
            )
            return
        intent.filled += quantity
        self._hold("fills", intent.filled <= intent.quantity, f"order {order_id} fills more than was asked")
        if intent.is_open:
            intent.state = "filled" if intent.filled >= intent.quantity else "partial"

    def _taken(self, fill: Told, fee: Decimal) -> Decimal:
        """Return what a fee takes of the asset that is traded."""
        return fee if fill["fee_asset"] == self._base else ZERO

    def _is_true(self, fill: Told, quantity: Decimal, price: Decimal, fee: Decimal) -> None:
        number = fill["id"].partition("-")[0]
        found = [each for key, each in self.venue.parts.items() if key.partition("/")[0] == number]
        same = [
            part
            for client_id, part in found
            if part.lots * self._lot == quantity
            and part.price * self._tick == price
            and part.fee == fee
            and (part.fee_asset == fill["fee_asset"] or not fee)
            and (client_id == fill["order_id"] or fill["order_id"].startswith("manual-"))
        ]
        told = f"fill {fill['id']}: {quantity} at {price}, fee {fee} {fill['fee_asset']}"
        self._hold("fills", bool(same), f"{told} is not what the exchange has: {found}")

    def _moved(self, kind: str, order_id: str) -> None:
        intent = self.story.intents.get(order_id)
        if intent is None:
            self.fail("one intent", f"{kind} is told of {order_id}, which nobody intended")
            return
        legal = intent.state in _FROM[kind]
        self._hold("states", legal, f"order {order_id} goes from {intent.state} to {kind}")
        placed = self.venue.by_client.get(order_id, [])
        if kind in ("rejected", "abandoned"):
            none = intent.reduces or not placed
            self._hold("evidence", none, f"order {order_id} is told as {kind}, but the exchange has it")
        elif kind in ("cancelled", "expired"):
            over = not any(each.works for each in placed) and (intent.reduces or bool(placed))
            self._hold("evidence", over, f"order {order_id} is told as {kind}, but is {placed}")
            whole = sum(each.filled for each in placed) * self._lot == intent.filled
            self._hold("evidence", whole, f"order {order_id} is told as {kind} before all its fills")
        elif kind == "accepted":
            there = intent.reduces or bool(placed)
            self._hold("evidence", there, f"order {order_id} is told as accepted, but the exchange has none")
        if intent.reduces and kind in ("rejected", "expired"):
            self._lost_at = self._now()
        intent.state = ("partial" if intent.filled else "open") if kind == "accepted" else kind

    # --- what is held, by both

    def books(self, balances: Mapping[str, Decimal], positions: Mapping[str, Decimal]) -> None:
        """Compare our own books with the sums over what the journal tells."""
        cash = {asset: amount for asset, amount in self.story.cash.items() if amount}
        self._hold("money", dict(balances) == cash, f"our books say {dict(balances)}, the journal {cash}")
        held = sum(positions.values(), ZERO)
        there = self.story.held
        self._hold("position", held == there, f"our books hold {held}, the fills add up to {there}")

    def conserved(self, purses: Mapping[str, Any], lines: Iterable[Any]) -> None:
        """Compare what the exchange says that there is with the lines of its ledger."""
        sums: dict[str, Decimal] = {}
        for line in lines:
            sums[line.asset] = sums.get(line.asset, ZERO) + line.amount
        for asset, purse in purses.items():
            there = purse.free + purse.locked
            self._hold(
                "money", there == sums.get(asset, ZERO), f"{asset}: {there} there, {sums.get(asset)} booked"
            )
            self._hold("money", purse.locked >= 0, f"{asset}: {purse.locked} locked")

    # --- the end

    def differences(self, *, is_alive: bool, must_protect: bool) -> list[str]:
        """Return in what our journal and the exchange differ now; nothing may be left soon after faults stop."""
        story, found = self.story, list[str]()
        told = {name.partition("-")[0] for name in story.fills}
        true = {name.partition("/")[0] for name in self.venue.parts}
        if told != true:
            found.append(
                f"fills differ: {sorted(true - told)} are not told, {sorted(told - true)} are not true"
            )
        for placed in self.venue.orders.values():
            intent = story.intents.get(placed.client_id)
            if placed.works and intent is not None and intent.state not in ("open", "partial"):
                found.append(f"order {placed.client_id} works at the exchange and is {intent.state} to us")
        for intent in story.intents.values():
            works = any(each.works for each in self.venue.by_client.get(intent.id, ()))
            if (
                intent.is_open
                and not works
                and not (intent.reduces and intent.state in ("open", "partial") and is_alive)
            ):
                found.append(f"order {intent.id} is {intent.state} to us and does not work at the exchange")
        if story.doubts:
            found.append(f"in doubt: {story.doubts}")
        if must_protect:
            found += self._naked()
        return found

    def _naked(self) -> list[str]:
        story, now = self.story, self._now()
        exits = [each for each in story.intents.values() if each.is_open and each.reduces]
        held = story.owned.get("ours", ZERO)
        covered = sum((each.quantity - each.filled for each in exits), ZERO)
        if held * story.price <= 2 * self._least or covered + 2 * self._lot >= held:
            self._bare_since = None
            return []
        self._bare_since = now if self._bare_since is None else self._bare_since
        lasts = now - self._bare_since
        if lasts <= (LOST if self._lost_at >= self._bare_since - SECOND else BARE):
            return []
        text = f"{held} {self._base} are held and {covered} protected for {lasts / SECOND:.1f} s"
        return [text]
