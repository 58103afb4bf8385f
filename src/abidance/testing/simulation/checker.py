"""Judges a run from outside: it reads the exchange's true ledger and the raw bytes of our journal, and nothing else.

It shares no code with what it judges: the life of an order, the sums and the limits are written here a second time.
The first thing that does not hold is kept in `failure`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from abidance.testing.simulation.reading import JournalBytes, Told
from abidance.testing.simulation.story import ZERO, Intent, Shares, Story, Terms, Venue, unmarked

SECOND = 1_000_000_000
OURS = "us"
"""Who holds a contract's position: the venue knows one, whichever strategy opened it."""
KILL_WITHIN = SECOND // 2
"""How long after the kill switch was thrown an entry may still leave, in ns."""
STALE = 15 * SECOND
"""Without a quote for so long nothing may be entered, in ns."""
BARE, LOST = 2 * SECOND, 7 * SECOND
"""How long what is held may be without protection at a time, also when the venue itself refused the stop, in ns.

The bot leaves at market after 5 s, and that travels."""
SOON, UNANSWERED = 3.0, 15.0
"""Seconds for which a stop may be late while all is well, to trigger where we hold it or to end with its position, and
for which one that is called off may stand: the answer to that wish may be the last that was lost."""
HALF = Decimal("0.5")
"""What all that is held and may fill may come to, as a share of equity, whatever a bot was told."""
SLACK = Decimal("1.02")
"""How much more that, or an order, may be seen as here, where prices are older."""
CRUMB = Decimal("0.000001")
"""By how much what a perpetual settles may differ: shares of a mean price are rounded."""
_GOALS = ("limit", "take_profit")
"""The types of the exits that wait for a better price."""
_FROM: Mapping[str, frozenset[str]] = {
    "accepted": frozenset({"sent", "unknown"}),
    "unknown": frozenset({"sent", "open", "partial"}),
    "abandoned": frozenset({"unknown"}),
    "rejected": frozenset({"sent", "unknown", "open"}),
    "cancelled": frozenset({"sent", "unknown", "open", "partial"}),
    "expired": frozenset({"sent", "unknown", "open", "partial"}),
}
"""From which states an order may be told to have come to one."""

Best = tuple[Decimal | None, Decimal | None]
"""The best bid and the best ask, in quote units; None where nobody offers."""


class Failure(NamedTuple):
    """What did not hold: a rule's name, and a sentence."""

    rule: str
    text: str
    cause: BaseException | None = None


class Checker:
    """Holds the rules over one run, in whatever it trades; `is_worked` is whether its entries at market are worked."""

    def __init__(self, terms: Sequence[Terms], shares: Shares, *, is_worked: bool = False) -> None:
        self.failure: Failure | None = None
        self.venues = {each.venue: Venue(each.execution) for each in terms}
        self.story = Story()
        self.journal = JournalBytes(self._record)
        self.heard_at: dict[str, int] = {}
        self.killed_at: int | None = None
        self.weighed: set[str] = set()
        """The venues that the process which lives now has asked what the account has."""
        self.checks = 0
        self._terms = {each.instrument: each for each in terms}
        self._shares = shares
        self._is_worked = is_worked
        self._left: dict[str, int] = {}
        self._bare_since: dict[str, int] = {}
        self._late_since: dict[str, int] = {}
        self._lost_at = 0
        self._again = False
        self._before = ""
        self._now: Callable[[], int] = lambda: 0
        self._best: Callable[[str], Best] = lambda _: (None, None)
        self._is_crowded: Callable[[str], bool] = lambda _: False

    def fail(self, rule: str, text: str, cause: BaseException | None = None) -> None:
        """Note that a rule does not hold; the first one counts."""
        if self.failure is None:
            self.failure = Failure(rule, text, cause)

    def at(
        self, now: Callable[[], int], best: Callable[[str], Best], is_crowded: Callable[[str], bool]
    ) -> None:
        """Let the true time (ns UTC) be known, the true best prices of an instrument, and whether orders must wait."""
        self._now, self._best, self._is_crowded = now, best, is_crowded

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
        order_id = unmarked(order_id)
        intent = self.story.intents.get(order_id)
        times = self._left[order_id] = self._left.get(order_id, 0) + 1
        durable = intent is not None and intent.end <= self.journal.durable
        self._hold("intent first", durable, f"order {order_id} leaves before its intent is on the disk")
        if intent is None:
            return
        again = intent.reduces and not any(each.works for each in self._placed(intent))
        self._hold("sent once", times == 1 or again, f"order {order_id} leaves for the {times}th time")
        venue = self._terms[intent.instrument].venue
        weighed = intent.reduces or venue in self.weighed
        self._hold("compared", weighed, f"entry {order_id} leaves before the account was looked at")
        late = self.killed_at is not None and now > self.killed_at + KILL_WITHIN
        self._hold("killed", not late or intent.reduces, f"entry {order_id} leaves after the kill switch")

    def _placed(self, intent: Intent) -> list[Any]:
        """Return what the exchange has under an intent's id."""
        venue = self.venues[self._terms[intent.instrument].venue]
        return [*venue.by_client.get(intent.id, ())]

    def _record(self, event: Told, end: int) -> None:
        kind, story = event.get("type", ""), self.story
        if kind == "decided":
            self._decided(event, end)
            return
        self._before = kind
        if kind == "quote":
            bid, ask = (Decimal(repr(event[each])) for each in ("bid", "ask"))
            story.quotes[event["instrument"]] = bid, ask
        elif kind == "book" and event["bids"] and event["asks"]:
            bid, ask = (Decimal(repr(event[each][0][0])) for each in ("bids", "asks"))
            story.books[event["instrument"]] = bid, ask
        elif kind == "filled":
            self._filled(event["fill"])
        elif kind == "amended" and event["order_id"] in story.intents:
            intent = story.intents[event["order_id"]]
            intent.quantity = Decimal(event["quantity"])
            intent.price = Decimal(event["price"] or intent.price)
            intent.trigger = Decimal(event["trigger"] or intent.trigger)
        elif kind in _FROM:
            self._moved(kind, event["order_id"])
        elif kind == "balance_changed" and event.get("is_owners"):
            story.transfers[event["asset"], Decimal(event["amount"])] += 1
        elif kind == "balance_changed":
            story.credited[event["asset"], Decimal(event["amount"])] += 1
            story.move(event["venue"], event["asset"], Decimal(event["amount"]))
        elif kind == "funding_paid":
            self._funded(event)
        else:
            self._status(kind, event)

    def _status(self, kind: str, event: Told) -> None:
        """Take what says whether new risk may be taken."""
        story = self.story
        if kind == "venue_status":
            reasons = story.doubts[event["venue"]] = tuple(event.get("reasons", ()))
            broken = [each for each in reasons if "the program failed" in each]
            self._hold("program", not broken or self._again, " ".join(broken))
        elif kind == "circuit":
            self._circuit((event["venue"], event["part"]), event["state"])
        elif kind == "feed_status" and event["kind"] == "quotes":
            story.certified[event["instrument"]] = event["state"] == "certified"
        elif kind == "control" and event["action"] in ("kill", "release"):
            story.killed = event["action"] == "kill"

    def _circuit(self, where: tuple[str, str], state: str) -> None:
        self.story.shut.discard(where)
        if state == "open" or (state == "half_open" and where[1] != "orders"):
            self.story.shut.add(where)

    # --- intents

    def _decided(self, event: Told, end: int) -> None:
        if self._is_worked:
            refused = [each["request"] for each in event.get("verdicts", ()) if each["type"] == "refused"]
            for wish in event.get("intents", ()):
                is_market = wish["kind"] == "order" and wish.get("type", "market") == "market"
                if is_market and not wish.get("reduce_only") and not wish.get("part") and wish not in refused:
                    self.story.parents[len(self.story.parents) + 1] = Decimal(wish["quantity"])
        for command in event.get("commands", ()):
            if command["type"] == "submit":
                self._intended(command, end)
            elif command["type"] == "cancel" and command["order_id"] in self.story.intents:
                self.story.intents[command["order_id"]].is_called_off = True

    def _intended(self, command: Told, end: int) -> None:
        request, story, id = command["request"], self.story, command["order_id"]
        instrument, parent = request["instrument"], int((request.get("part") or "0").partition("/")[0])
        given = Decimal(request.get("price") or request.get("decision_price") or 0)
        price = given or story.price(instrument)
        quantity, reduces = Decimal(request["quantity"]), bool(request.get("reduce_only", False))
        self._hold("one intent", id not in story.intents, f"order {id} is intended twice")
        is_goal = reduces and request.get("type", "market") in _GOALS
        side, who = request["side"], request.get("strategy", "")
        trigger = Decimal(request.get("trigger") or 0)
        intent = Intent(id, instrument, side, quantity, reduces, price, end, parent, who, is_goal, trigger)
        story.intents[id] = intent
        if parent:
            whole, sent = story.parents.get(parent, ZERO), story.open_parts(parent)
            self._hold("parts", sent <= whole, f"{sent} may fill of an entry of {whole} with order {id}")
        if reduces or self._again:
            return
        self._new_risk(intent)
        dearest = self._terms[instrument].dearest
        if dearest is not None and not request.get("price"):
            cost = self._expected(intent)
            self._hold("cost", cost <= dearest, f"entry {id} is expected to cost {cost:.6f} of its value")

    def _new_risk(self, intent: Intent) -> None:
        """Hold what must hold wherever something is entered."""
        story, id, instrument = self.story, intent.id, intent.instrument
        doubts = story.doubts.get(self._terms[instrument].venue, ())
        self._hold("killed", not story.killed, f"entry {id} is decided while the kill switch is thrown")
        self._hold("doubt", not doubts, f"entry {id} is decided in doubt: {doubts}")
        shut = {each for each in story.shut if each[0] == self._terms[instrument].venue}
        self._hold("circuit", not shut, f"entry {id} is decided while circuits are open: {shut}")
        certified = story.certified.get(instrument, False)
        self._hold("stale", certified, f"entry {id} is decided on quotes that are not certified")
        age = self._now() - self.heard_at.get(instrument, 0)
        self._hold("stale", age <= STALE, f"entry {id} is decided {age / SECOND:.1f} s after the last quote")
        self._hold("unknown", self._before != "unknown", f"entry {id} is decided because one is unknown")
        same = [each for each in story.intents.values() if each.instrument == instrument]
        unknown = [each.id for each in same if each.state == "unknown"]
        self._hold("unknown", not unknown, f"entry {id} is decided while {unknown} are unknown")
        largest, worth = self._terms[instrument].largest, intent.quantity * intent.price
        holds = largest is None or worth <= largest * SLACK
        self._hold("order value", holds, f"entry {id} is worth {worth:.0f}, and {largest} is the most")
        self._exposed(intent)

    def _exposed(self, intent: Intent) -> None:
        """Hold what all may come to with an entry: altogether, in its asset, and at its venue."""
        equity, of = self._equity(), self._terms[intent.instrument]
        worst = [(each, self._worst(each.instrument)) for each in self._terms.values()]
        for rule, share, found in (
            ("exposure", HALF, worst),
            ("asset exposure", self._shares.asset, [each for each in worst if each[0].base == of.base]),
            ("venue exposure", self._shares.venue, [each for each in worst if each[0].venue == of.venue]),
        ):
            total = sum((value for _, value in found), ZERO)
            holds = total <= share * equity * SLACK
            self._hold(rule, holds, f"entry {intent.id} may lead to {total:.0f} of {equity:.0f}")

    def _worst(self, instrument: str) -> Decimal:
        """Return what one instrument may come to when all that is open fills, in quote units."""
        story = self.story
        held = story.held(instrument) * story.price(instrument)
        coming = {"buy": ZERO, "sell": ZERO}
        for each in story.intents.values():
            if each.is_open and not each.reduces and each.instrument == instrument:
                coming[each.side] += each.left * each.price
        return max(abs(held + coming["buy"]), abs(held - coming["sell"]))

    def _equity(self) -> Decimal:
        """Return what all is worth at the last quotes."""
        story, purses = self.story, {(each.venue, each.quote) for each in self._terms.values()}
        total = sum((story.cash.get(purse, ZERO) for purse in purses), ZERO)
        for terms in self._terms.values():
            price = story.price(terms.instrument)
            if not terms.is_perpetual:
                total += story.cash.get((terms.venue, terms.base), ZERO) * price
        total -= story.stands_for
        for (owner, instrument), held in story.owned.items():
            cost = story.cost.get((owner, instrument))
            if cost is not None:
                total += held * story.price(instrument) - Decimal(float(cost))
        return total

    def _expected(self, intent: Intent) -> Decimal:
        """Return the least that an entry at market can be expected to cost: half a spread, and the fee."""
        story, where = self.story, intent.instrument
        seen = [found[where] for found in (story.quotes, story.books) if where in found]
        spread = min(((ask - bid) / (ask + bid) for bid, ask in seen), default=ZERO)
        return spread + self._terms[where].taker

    # --- what became of them

    def _filled(self, fill: Told) -> None:
        story, order_id, name = self.story, fill["order_id"], fill["id"]
        terms = self._terms[fill["instrument"]]
        key = (terms.instrument, name)
        self._hold("fills once", key not in story.fills, f"fill {name} is told twice")
        story.fills[key] = order_id
        quantity, price, fee = (Decimal(fill[each]) for each in ("quantity", "price", "fee"))
        intent, by_hand = story.intents.get(order_id), order_id.startswith("manual-")
        is_lost = order_id.startswith("by hand ")  # owners here take what is their own: nobody loses to them
        self._hold("owner's money", not is_lost, f"{quantity} {terms.base} are told as taken by the owner")
        if by_hand and name.endswith("-back"):  # it was taken for one by hand, and is of an order of ours
            first = name.removesuffix("-back")
            was_told = story.fills.get((terms.instrument, first)) == order_id
            self._hold("fills once", was_told, f"fill {name} takes back what was not told")
            self._is_true(terms, {**fill, "id": first}, quantity, price, -fee)
            return
        self._is_true(terms, fill, quantity, price, fee)
        self._is_counted(terms, fill, quantity * price, fee)
        self._hold("one intent", by_hand or intent is not None, f"fill {name} is of no order: {order_id}")
        if by_hand and fill.get("purpose") != "liquidation":
            return  # what somebody does with his own is no business of the run's, and its books do not show it
        strategy = "" if intent is None else intent.strategy
        # The venue knows one position in a contract, whoever opened it.
        self._book(terms, fill, OURS if terms.is_perpetual else strategy, (quantity, price, fee))
        if intent is None:
            return
        intent.filled += quantity
        self._hold("fills", intent.filled <= intent.quantity, f"order {order_id} fills more than was asked")
        if intent.is_open:
            intent.state = "filled" if intent.filled >= intent.quantity else "partial"

    def _book(self, terms: Terms, fill: Told, owner: str, amounts: tuple[Decimal, Decimal, Decimal]) -> None:
        """Move money and holdings by a fill."""
        story, (quantity, price, fee) = self.story, amounts
        sign, venue = 1 if fill["side"] == "buy" else -1, terms.venue
        if terms.is_perpetual:
            realised = story.settle(owner, terms.instrument, sign * quantity, price)
            story.move(venue, terms.quote, Decimal(realised.numerator) / Decimal(realised.denominator))
        else:
            taken = fee if fill["fee_asset"] == terms.base else ZERO
            story.hold(owner, terms.instrument, sign * quantity - taken, terms.lot)
            left = story.owned[owner, terms.instrument]
            is_there = left > -terms.lot
            self._hold("shares", is_there, f"{owner} has sold {-left} {terms.base} that it did not hold")
            story.move(venue, terms.base, sign * quantity)
            story.move(venue, terms.quote, -sign * quantity * price)
        story.move(venue, fill["fee_asset"], -fee)
        story.stands_for += Decimal(fill.get("fee_worth", 0))

    def _funded(self, event: Told) -> None:
        """Book funding; in the end it must be what the exchange paid."""
        venue, amount = self._terms[event["instrument"]].venue, Decimal(event["amount"])
        self.story.move(venue, event["asset"], amount)
        self.story.funding[venue] = self.story.funding.get(venue, ZERO) + amount

    def _is_true(self, terms: Terms, fill: Told, quantity: Decimal, price: Decimal, fee: Decimal) -> None:
        found = self.venues[terms.venue].found(terms.instrument, fill["id"])
        same = [
            part
            for client_id, part in found
            if part.lots * terms.lot == quantity
            and part.price * terms.tick == price
            and part.fee == fee
            and (part.fee_asset == fill["fee_asset"] or not fee)
            and (client_id == fill["order_id"] or fill["order_id"].startswith("manual-"))
        ]
        told = f"fill {fill['id']}: {quantity} at {price}, fee {fee} {fill['fee_asset']}"
        self._hold("fills", bool(same), f"{told} is not what the exchange has: {found}")

    def _is_counted(self, terms: Terms, fill: Told, value: Decimal, fee: Decimal) -> None:
        """See that a fee in a coin is told to stand for what the coin costs, and for no more than the dearest fee."""
        told, is_coin = Decimal(fill.get("fee_worth", 0)), fill["fee_asset"] not in (terms.base, terms.quote)
        least, most = (
            (fee * terms.coin - CRUMB * 10, value * terms.taker + CRUMB) if is_coin else (ZERO, ZERO)
        )
        self._hold(
            "coins", least <= told <= most, f"a fee of {fee} {fill['fee_asset']} is told to stand for {told}"
        )

    def _moved(self, kind: str, order_id: str) -> None:
        intent = self.story.intents.get(order_id)
        if intent is None:
            self.fail("one intent", f"{kind} is told of {order_id}, which nobody intended")
            return
        legal = intent.state in _FROM[kind]
        self._hold("states", legal, f"order {order_id} goes from {intent.state} to {kind}")
        placed, lot = self._placed(intent), self._terms[intent.instrument].lot
        if kind in ("rejected", "abandoned"):
            none = intent.reduces or not placed
            self._hold("evidence", none, f"order {order_id} is told as {kind}, but the exchange has it")
        elif kind in ("cancelled", "expired"):
            over = not any(each.works for each in placed) and (intent.reduces or bool(placed))
            self._hold("evidence", over, f"order {order_id} is told as {kind}, but is {placed}")
            whole = sum(each.filled for each in placed) * lot == intent.filled
            self._hold("evidence", whole, f"order {order_id} is told as {kind} before all its fills")
        elif kind == "accepted":
            there = intent.reduces or bool(placed)
            self._hold("evidence", there, f"order {order_id} is told as accepted, but the exchange has none")
        if intent.reduces and kind == "rejected":
            self._lost_at = self._now()
        intent.state = ("partial" if intent.filled else "open") if kind == "accepted" else kind

    # --- what is held, by both

    def books(self, balances: Mapping[tuple[str, str], Decimal], positions: Mapping[str, Decimal]) -> None:
        """Compare our own books with the sums over what the journal tells; balances are by venue and asset."""
        paid = {each.venue for each in self._terms.values() if each.is_perpetual}
        for key in {*balances, *self.story.cash}:
            ours, sums = balances.get(key, ZERO), self.story.cash.get(key, ZERO)
            same = abs(ours - sums) <= (CRUMB if key[0] in paid else ZERO)
            self._hold("money", same, f"our books say {ours} {key[1]}, the journal {sums}")
        for instrument in self._terms:
            ours, sums = positions.get(instrument, ZERO), self.story.held(instrument)
            self._hold("position", ours == sums, f"our books hold {ours}, the fills add up to {sums}")

    def worth(self, equity: float) -> None:
        """Compare our equity with the money that is there, less what fees in coins stand for, while nothing is held."""
        story = self.story
        held = (story.held(id) or story.cash.get((each.venue, each.base)) for id, each in self._terms.items())
        if not any(held):
            sums = self._equity()
            same = abs(Decimal(equity) - sums) <= CRUMB
            self._hold("worth", same, f"our books count {equity}, and {sums:.6f} is there")

    def transferred(self, lines: Iterable[Any]) -> None:
        """Compare what came and went by the owner, as it is told, with what he moved at all exchanges.

        A stream that is lost may tell less; what is told more often than it was, or was not, is money made up.
        """
        true = Counter((each.asset, each.amount) for each in lines if each.why in ("deposit", "withdrawal"))
        made_up, taken = self.story.transfers - true, self.story.credited & true
        self._hold("owner's money", not made_up, f"told as the owner's, and not moved: {dict(made_up)}")
        self._hold("owner's money", not taken, f"the owner's, and booked as the run's: {dict(taken)}")

    def conserved(self, purses: Mapping[str, Any], lines: Iterable[Any]) -> None:
        """Compare what an exchange says that there is with the lines of its ledger."""
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

    def differences(self, *, is_alive: bool, must_protect: bool) -> dict[str, str]:
        """Return in what our journal and the exchanges differ now, by what it is about, in sentences."""
        story, found = self.story, dict[str, str]()
        for name, venue in self.venues.items():
            found |= self._fills_of(name, venue)
            for placed in venue.orders.values():
                intent = story.intents.get(placed.client_id)
                if placed.works and intent is not None and intent.state not in ("open", "partial"):
                    found[intent.id] = f"order {intent.id} works at the exchange and is {intent.state} to us"
            paid = story.funding.get(name, ZERO)
            if paid != venue.funding:
                found["funding"] = f"funding of {venue.funding} was paid, and {paid} is told"
            if story.doubts.get(name):
                found[f"doubt of {name}"] = f"in doubt: {story.doubts[name]}"
        for intent in story.intents.values():
            if not intent.is_open or any(each.works for each in self._placed(intent)):
                continue
            if intent.reduces and intent.state != "unknown" and self._is_crowded(intent.instrument):
                continue
            is_told = intent.reduces and intent.state in ("open", "partial")
            if not (is_told and is_alive and (not must_protect or self._may_watch(intent))):
                found[intent.id] = (
                    f"order {intent.id} is {intent.state} to us and does not work at the exchange"
                )
        if must_protect:
            held = ((who, id, self._naked(who, id, much)) for (who, id), much in story.owned.items())
            found |= {f"{who} {id}": text for who, id, text in held if text}
        return found

    def prompt(self) -> None:
        """See that no stop waits with us for long that is due, and that none outlasts what it protects for long."""
        for each in self.story.intents.values():
            told = f"exit {each.id} waits for {each.trigger}, past which the market has been"
            self._soon("due", each.id, told, is_late=self._is_due(each))
        for (owner, instrument), held in self.story.owned.items():
            stops = [
                each for each in self._protecting(owner, instrument) if each.trigger and self._may_sell(each)
            ]
            much = sum((each.left for each in stops), ZERO)
            most = abs(held) + 2 * self._terms[instrument].lot
            told = f"{owner} holds {held} of {instrument}, and stops for {much} have stood"
            is_asked = any(each.is_called_off for each in stops)
            limit = UNANSWERED if is_asked else SOON
            self._soon("one stop", f"{owner} {instrument}", told, limit, is_late=much > most)

    def _may_sell(self, intent: Intent) -> bool:
        """Say whether an order works at the exchange, or is with us and not only looked for there."""
        return intent.state in ("open", "partial") or any(each.works for each in self._placed(intent))

    def _soon(self, rule: str, what: str, told: str, most: float = SOON, *, is_late: bool) -> None:
        """Hold that something does not last longer than `most` seconds."""
        if not is_late:
            self._late_since.pop(what, None)
            return
        seconds = (self._now() - self._late_since.setdefault(what, self._now())) / SECOND
        self._hold(rule, seconds <= most, f"{told} for {seconds:.1f} s")

    def _protecting(self, owner: str, instrument: str) -> list[Intent]:
        """Return the exits that are open of what somebody holds, but for those that wait for a better price."""
        same = (each for each in self.story.intents.values() if each.instrument == instrument)
        return [each for each in same if each.is_open and each.protects and owner in (OURS, each.strategy)]

    def _is_due(self, intent: Intent) -> bool:
        """Say whether an exit for a worse price is with us, and would trade at it now."""
        if not (intent.trigger and intent.protects and intent.is_open):
            return False
        (bid, ask), instrument = self._best(intent.instrument), intent.instrument
        price = bid if intent.side == "sell" else ask
        if price is None or self._is_crumb(instrument, intent.left):
            return False
        is_past = price <= intent.trigger if intent.side == "sell" else price >= intent.trigger
        return is_past and not any(each.works for each in self._placed(intent))

    def _is_crumb(self, instrument: str, much: Decimal) -> bool:
        """Say whether so much is too little for an order of its own."""
        terms = self._terms[instrument]
        return much < terms.smallest or much * self.story.price(instrument) <= 2 * terms.least

    def _may_watch(self, intent: Intent) -> bool:
        """Say whether an exit may be with us: no stops go there, or another exit of its position has the assets."""
        same = [each for each in self.story.intents.values() if each.instrument == intent.instrument]
        others = [e for e in same if e.reduces and e is not intent and e.strategy == intent.strategy]
        stands = any(placed.works for each in others for placed in self._placed(each))
        return stands or not self._terms[intent.instrument].stops

    def _fills_of(self, name: str, venue: Venue) -> dict[str, str]:
        told = {
            venue.true_name(instrument, fill)
            for instrument, fill in self.story.fills
            if self._terms[instrument].venue == name
        }
        missing, invented = sorted(venue.parts.keys() - told), sorted(told - venue.parts.keys())
        return {f"fill {id} of {where}": f"fill {id} is not told" for where, id in missing} | {
            f"fill {id} of {where}": f"fill {id} is not true" for where, id in invented
        }

    def _naked(self, owner: str, instrument: str, held: Decimal) -> str:
        """Say what somebody holds without protection for too long."""
        now, terms, place = self._now(), self._terms[instrument], f"{owner} {instrument}"
        away = "sell" if held > 0 else "buy"
        covered = sum((each.left for each in self._protecting(owner, instrument) if each.side == away), ZERO)
        much = abs(held)
        if self._is_crumb(instrument, much) or covered + 2 * terms.lot >= much:
            self._bare_since.pop(place, None)
            return ""
        since = self._bare_since.setdefault(place, now)
        if now - since <= (LOST if self._lost_at >= since - SECOND else BARE):
            return ""
        return f"{held} {terms.base} are held by {owner} and {covered} protected for {(now - since) / SECOND:.1f} s"
