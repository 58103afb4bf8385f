"""The limits, one small rule each: what a request would do, against what the configuration allows.

A `Case` gathers the numbers once; a rule reads them and answers None, or a reason with the numbers and the key to
change. Comparisons are written so that NaN refuses. Rules that need a memory (rate, duplicates) are the gate's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from math import inf

from abidance.model.instrument import Instrument
from abidance.model.money import ZERO, to_decimal
from abidance.model.order import OrderRequest, OrderType, Side
from abidance.model.outcome import RefusalCode
from abidance.risk.config import LimitsConfig
from abidance.risk.crowd import crowd_of
from abidance.risk.feeds import admits_one, delisted_text, untrusted_text
from abidance.risk.sizing import stop_distance
from abidance.risk.view import RiskView, worst_price

# A float sum that lands on a limit must not refuse by its last bit.
_TOLERANCE = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class Case:
    """One well-formed request with what it would do if the worst happened.

    `last` is None without a usable price. `own_price` is where the request means to trade, `worst` where it counts.
    `position` is the strategy's holding. `reduces`: it can only make that smaller. `exits` stand on its side already.
    `added` is by how many base units the gross holding could grow, `value` what these are worth in the run's currency
    (None when that is not known). `earlier` were approved before it in the same basket; `replaced` is the entry whose
    place it takes.
    """

    request: OrderRequest
    instrument: Instrument
    view: RiskView
    limits: LimitsConfig
    last: float | None
    own_price: float | None
    worst: float
    position: Decimal
    reduces: bool
    exits: Decimal
    added: Decimal
    value: float | None
    earlier: tuple["Case", ...]
    replaced: "Case | None"

    @property
    def place(self) -> tuple[str, str]:
        """Return the strategy and instrument, which is where a position is held."""
        return self.request.strategy, self.request.instrument

    @property
    def opens(self) -> bool:
        """Return whether this would be a further position: the strategy holds and awaits none in the instrument."""
        awaited = self.view.has_pending(*self.place) or any(case.place == self.place for case in self.earlier)
        return not self.position and not awaited

    def total(self, held: float, *, asset: str | None = None, venue: str | None = None) -> float:
        """Return what `held` could become: with this and the earlier, of one asset or venue, less the replaced."""
        others = (
            case.value or 0.0
            for case in self.earlier
            if asset in (None, case.instrument.base) and venue in (None, case.instrument.venue)
        )
        credit = self.replaced.value or 0.0 if self.replaced else 0.0
        return held + sum(others) + (inf if self.value is None else self.value) - credit


def case_of(
    request: OrderRequest,
    instrument: Instrument,
    view: RiskView,
    limits: LimitsConfig,
    earlier: tuple[Case, ...] = (),
    replaces: OrderRequest | None = None,
) -> Case:
    """Return the numbers behind a well-formed request."""
    last = view.price(request.instrument)
    if last is not None and not 0 < last < inf:
        last = None
    worst = worst_price(request, last)
    named = request.price if request.price is not None else request.trigger
    position = view.position_quantity(request.strategy, request.instrument)
    against = position * request.side.sign < 0
    exits = _exits_pending(request, view, earlier, replaces) if against else ZERO
    reduces = (
        against
        and request.quantity <= abs(position)
        # on spot a sale can do nothing else, as long as not more is for sale than is held
        and (
            request.reduce_only or (not instrument.is_perpetual and request.quantity + exits <= abs(position))
        )
    )
    added = ZERO if reduces else _added(position, exits, request)
    rate = view.quote_rate(request.instrument)
    # an order against the position was never counted in full, so that replacing it earns no credit
    earns = replaces is not None and position * replaces.side.sign >= 0
    return Case(
        request=request,
        instrument=instrument,
        view=view,
        limits=limits,
        last=last,
        own_price=float(named) if named is not None else last,
        worst=worst,
        position=position,
        reduces=reduces,
        exits=exits,
        added=added,
        value=None if rate is None or not 0 < rate < inf else float(added) * worst * rate,
        earlier=earlier,
        replaced=case_of(replaces, instrument, view, limits) if replaces is not None and earns else None,
    )


def _exits_pending(
    request: OrderRequest, view: RiskView, earlier: tuple[Case, ...], replaces: OrderRequest | None
) -> Decimal:
    """Return what stands or is about to stand against the position besides a request that is against it."""
    place = (request.strategy, request.instrument)
    pending = view.exiting(*place)
    for case in earlier:
        if case.place == place and case.request.side is request.side:
            pending += case.request.quantity
    if replaces is not None and replaces.side is request.side:
        pending -= replaces.quantity
    return max(pending, ZERO)


def _added(position: Decimal, exits: Decimal, request: OrderRequest) -> Decimal:
    """Return by how much the gross holding could grow, also when the pending exits fill first."""
    signed = request.quantity * request.side.sign
    held = abs(position)
    left = max(held - exits, ZERO) * (1 if position > 0 else -1)
    return max(abs(position + signed), abs(left + signed), held) - held


def may_hold(count: int, limits: LimitsConfig) -> bool:
    """Return whether so many positions may be held."""
    return count <= limits.max_positions


def may_owe(owed: float, limits: LimitsConfig, equity: float) -> bool:
    """Return whether entries are taken while so much is owed."""
    return not owed or owed <= limits.max_borrowed * equity * _TOLERANCE


def fits(total: float, share: float, equity: float) -> bool:
    """Return whether a total is no more than a share of the equity; what is no number is not."""
    return equity > 0 and total <= share * equity * _TOLERANCE


# --- for every request ----------------------------------------------------------------------------


def not_reducing(case: Case) -> str | None:
    """Refuse a reduce_only request that would not make the position smaller, or that is already being closed."""
    request = case.request
    if not request.reduce_only:
        return None
    if not case.reduces:
        return f"{request.side} {request.quantity} does not reduce the position of {case.position}."
    if request.type is not OrderType.MARKET:
        return None
    closing = case.view.exiting(*case.place, at_market=True)
    for other in case.earlier:
        if other.place == case.place and other.reduces and other.request.type is OrderType.MARKET:
            closing += other.request.quantity
    if closing + request.quantity <= abs(case.position):
        return None
    return (
        f"{closing} of the position of {case.position} are already being closed at market, "
        f"which leaves less than {request.quantity}."
    )


def short_not_allowed(case: Case) -> str | None:
    """Refuse a sale of more than is held where shorts cannot be or are not allowed."""
    request = case.request
    if case.reduces or request.side is Side.BUY:
        return None
    if case.instrument.is_perpetual and case.view.terms(request.strategy).allow_short:
        return None
    held = max(case.position - case.exits, ZERO)
    if request.quantity <= held:
        return None
    why = "the strategy's `allow_short` is off" if case.instrument.is_perpetual else "spot cannot be short"
    return f"Selling {request.quantity} with {held} held and not yet for sale would be short, and {why}."


def min_quantity(case: Case) -> str | None:
    """Refuse less than the venue's smallest quantity."""
    least = case.instrument.min_quantity
    if case.request.quantity >= least:
        return None
    return f"{case.request.quantity} is below the venue's smallest quantity, {least}."


def min_notional(case: Case) -> str | None:
    """Refuse less than the venue's smallest order value; what reduces a perpetual is exempt at venues."""
    least = float(case.instrument.min_notional)
    if case.own_price is None or (case.reduces and case.instrument.is_perpetual):
        return None
    notional = float(case.request.quantity) * case.own_price
    if notional * _TOLERANCE >= least:
        return None
    return f"The order is worth {notional:.8g}, the venue's smallest is {least:.8g}."


def price_collar(case: Case) -> str | None:
    """Refuse a limit or trigger too far from the last price on the side that would cost us.

    An exit's trigger may be anywhere; its stop-limit price is measured from the trigger. A stale last price is no
    reason to hold an exit back.
    """
    request, last, collar = case.request, case.last, case.limits.price_collar
    if last is None or (case.reduces and is_stale(case)):
        return None
    checks = [(request.price, last), (request.trigger, last)]
    if case.reduces:
        checks = [(request.price, last if request.trigger is None else float(request.trigger))]
    for price, reference in checks:
        if price is None:
            continue
        beyond = (float(price) / reference - 1) * request.side.sign
        if not beyond <= collar * _TOLERANCE:
            return (
                f"{request.side} at {price} is {beyond:.2%} beyond {reference:.8g}, more than {collar:.2%} "
                "(`risk.limits.price_collar`)."
            )
    return None


# --- for entries ----------------------------------------------------------------------------------


def is_stale(case: Case) -> bool:
    """Return whether the last price is too old to take risk on."""
    age = case.view.price_age_ns(case.request.instrument)
    return not age <= case.limits.stale_after * case.view.terms(case.request.strategy).bar_ns


def no_price(case: Case) -> str | None:
    """Refuse an entry when it cannot be valued."""
    if case.last is None:
        return f"No price of {case.instrument.id} has been seen yet."
    if case.value is None:
        return f"What {case.instrument.quote} is worth in the run's currency is not known."
    return None


def stale_data(case: Case) -> str | None:
    """Refuse an entry on an old price."""
    if not is_stale(case):
        return None
    age, bar = case.view.price_age_ns(case.request.instrument), case.view.terms(case.request.strategy).bar_ns
    return (
        f"The last price is {age / 1e9:.8g} s old, more than {case.limits.stale_after:g} bars of {bar / 1e9:g} s "
        "(`risk.limits.stale_after`)."
    )


def feed_not_certified(case: Case) -> str | None:
    """Refuse an entry on market data that is not known to be whole and fresh."""
    status = case.view.feeds.doubt(case.request.strategy, case.request.instrument)
    if status is None:
        return None
    why = f": {status.reason}" if status.reason else "."
    return f"The stream of {status.kind} of {status.instrument} is not certified but {status.state}{why}"


def venue_not_trusted(case: Case) -> str | None:
    """Refuse an entry while what we know of the account is in doubt: not reconciled, its stream down, a mismatch."""
    status = case.view.feeds.venues.get(case.instrument.venue)
    if status is None or status.is_trusted:
        return None
    return untrusted_text(status)


def not_listed(case: Case) -> str | None:
    """Refuse an entry in an instrument that its venue trades no longer."""
    since = case.view.feeds.delisted.get(case.instrument.id)
    return None if since is None else delisted_text(case.instrument.id, since)


def circuit_open(case: Case) -> str | None:
    """Refuse an entry where a circuit is open; one that is tried by entries lets one pass at a time."""
    venue = case.instrument.venue
    for circuit in case.view.feeds.barriers(venue):
        where = circuit.venue or "every venue"
        if not admits_one(circuit):
            return f"Only exits at {where}: {circuit.reason}"
        if case.view.has_pending(venue=venue) or any(each.instrument.venue == venue for each in case.earlier):
            return f"Only one entry at a time at {where} until it is proven that orders are taken again."
    return None


def unknown_order_open(case: Case) -> str | None:
    """Refuse an entry while an order on the instrument may or may not be live."""
    if not case.view.unknown_open(case.request.instrument):
        return None
    return f"An order on {case.instrument.id} has an unknown outcome; it must be proven first."


def missing_stop(case: Case) -> str | None:
    """Refuse an entry without a stop when one is required."""
    if not case.limits.require_stop or stop_distance(case.request.protection) is not None:
        return None
    return "The entry has no stop, and `risk.limits.require_stop` is on."


def open_orders(case: Case) -> str | None:
    """Refuse an entry when the venue would have no room for it, or for its stop, among the open orders there."""
    id, most = case.instrument.id, (case.instrument.max_orders, case.instrument.max_stops)
    if not any(most):
        return None
    resting, one_exit = case.view.resting, not case.instrument.is_perpetual
    guarded, goals = resting.guarded(id), resting.at_market
    there = [
        *resting.standing(id),
        *(other.request for other in case.earlier if other.instrument.id == id),
    ]
    before = crowd_of(there, guarded, goals, one_exit=one_exit)
    after = crowd_of((*there, case.request), guarded, goals, one_exit=one_exit)
    for what, limit, was, now in zip(("orders", "orders with a trigger"), most, before, after, strict=True):
        if limit and now > max(limit, was):
            return (
                f"With it and its stop {now} {what} would stand in {id}, those of other positions included, and the "
                f"venue takes {limit}: the stop would be refused."
            )
    return None


def exit_not_feasible(case: Case) -> str | None:
    """Refuse an entry that could not be sold again after its stop-loss, because too little would be left of it."""
    request, price = case.request, case.own_price
    if price is None or not case.added:
        return None
    exit_price = price - (stop_distance(request.protection) or 0.0) if request.side is Side.BUY else price
    joined = abs(case.position) if case.position * request.side.sign > 0 else ZERO
    left = float(request.quantity + joined) * exit_price
    least = float(case.instrument.min_notional) * case.limits.exit_margin
    if exit_price > 0 and left * _TOLERANCE >= least:
        return None
    return (
        f"At its stop the position would be worth {max(left, 0.0):.8g}, less than the {least:.8g} that can surely "
        "be sold (the venue's smallest order times `risk.limits.exit_margin`)."
    )


def max_leverage(case: Case) -> str | None:
    """Refuse a leverage above ours or the instrument's, and a position that is larger than ours times the equity."""
    ours, equity = case.limits.max_leverage, case.view.equity()
    if case.instrument.is_perpetual:
        leverage, allowed = (
            case.view.terms(case.request.strategy).leverage,
            float(case.instrument.max_leverage),
        )
        if not 0 < leverage <= min(ours, allowed):
            key = "`risk.limits.max_leverage`" if ours <= allowed else "the instrument's own limit"
            return f"The strategy's leverage of {leverage:g} is not within {min(ours, allowed):g} ({key})."
    holding = float(abs(case.position) + case.added) * case.worst
    holding *= case.view.quote_rate(case.request.instrument) or inf
    if not case.added or holding <= ours * equity * _TOLERANCE:
        return None
    return (
        f"The position would be worth {holding:.8g}, more than {ours:g} times the equity of {equity:.8g} "
        "(`risk.limits.max_leverage`)."
    )


def max_order_value(case: Case) -> str | None:
    """Refuse a single order that is too large."""
    limit, value = case.limits.max_order_value, float(case.request.quantity) * case.worst
    if limit is None or value <= limit * _TOLERANCE:
        return None
    return f"The order is worth {value:.8g}, more than {limit:.8g} (`risk.limits.max_order_value`)."


def max_slippage(case: Case) -> str | None:
    """Refuse an entry that the market would fill too far from its middle."""
    limit = case.limits.max_slippage
    found = case.view.pricing.estimate(case.request) if limit is not None else None
    if found is None or limit is None:
        return None
    slippage, key = found.slippage(case.request.side), "`risk.limits.max_slippage`"
    if not found.is_shown:
        return f"The book does not hold {case.request.quantity}: what that would cost is not known ({key})."
    if slippage <= limit * _TOLERANCE:
        return None
    return (
        f"It would trade at {found.price:.8g} by the {found.source}, {slippage:.4%} from the middle of "
        f"{found.mid:.8g}, more than {limit:.4%} ({key})."
    )


def max_cost(case: Case) -> str | None:
    """Refuse an entry whose slippage and fees would be too much for its strategy."""
    limit = case.view.terms(case.request.strategy).max_cost
    found = case.view.pricing.estimate(case.request) if limit is not None else None
    if found is None or limit is None or found.cost(case.request.side) <= limit * _TOLERANCE:
        return None
    return (
        f"It would cost {found.cost(case.request.side):.4%} by the {found.source} ({found.fee:.4%} of it fees), more "
        f"than {limit:.4%} (`execution.max_cost`)."
    )


def max_positions(case: Case) -> str | None:
    """Refuse one position too many."""
    if not case.opens:
        return None
    count = case.view.open_position_count() + sum(other.opens for other in case.earlier) + 1
    if may_hold(count, case.limits):
        return None
    return (
        f"It would be position {count}, more than {case.limits.max_positions} (`risk.limits.max_positions`)."
    )


def max_exposure(case: Case) -> str | None:
    """Refuse when everything held and pending would be too much."""
    total = case.total(case.view.exposure())
    return _above(case, total, case.limits.max_exposure, "Exposure", "max_exposure")


def max_asset_exposure(case: Case) -> str | None:
    """Refuse when too much would hang on one asset."""
    asset = case.instrument.base
    total = case.total(case.view.exposure(asset=asset), asset=asset)
    return _above(case, total, case.limits.max_asset_exposure, f"Exposure to {asset}", "max_asset_exposure")


def max_venue_exposure(case: Case) -> str | None:
    """Refuse when too much would lie on one venue."""
    venue = case.instrument.venue
    total = case.total(case.view.exposure(venue=venue), venue=venue)
    return _above(case, total, case.limits.max_venue_exposure, f"Exposure on {venue}", "max_venue_exposure")


def max_borrowed(case: Case) -> str | None:
    """Refuse an entry while more is owed than may be."""
    limit, equity, owed = case.limits.max_borrowed, case.view.equity(), case.view.debts.borrowed()
    if may_owe(owed, case.limits, equity):
        return None
    return (
        f"{owed:.8g} is owed to venues, more than {limit * equity:.8g}, {limit:g} times the equity of {equity:.8g} "
        "(`risk.limits.max_borrowed`)."
    )


def _above(case: Case, total: float, share: float, what: str, key: str) -> str | None:
    """Return a reason when a request that adds would bring `total` above `share` of equity."""
    equity = case.view.equity()
    if not case.added or fits(total, share, equity):
        return None
    return (
        f"{what} would be {total:.8g}, more than {share * equity:.8g}, {share:g} times the equity of {equity:.8g} "
        f"(`risk.limits.{key}`)."
    )


def insufficient_funds(case: Case) -> str | None:
    """Refuse an entry that the free balance does not cover, expected costs included."""
    needed = _funds_needed(case)
    if not needed:
        return None
    venue, asset = purse = _purse(case)
    needed += sum((_funds_needed(other) for other in case.earlier if _purse(other) == purse), ZERO)
    if case.replaced is not None:
        needed -= _funds_needed(case.replaced)
    free = case.view.free(venue, asset)
    if needed <= free * to_decimal(_TOLERANCE):
        return None
    return f"It needs {needed:.8g} {asset} on {venue} with its costs, and {free:.8g} are free."


def _purse(case: Case) -> tuple[str, str]:
    """Return the venue and the asset that pay for the request."""
    name = case.instrument.name
    return name.venue, name.settle or name.quote


def _funds_needed(case: Case) -> Decimal:
    """Return what an entry locks up or spends, in units of its purse: the whole value on spot, the margin else."""
    if not case.added:
        return ZERO
    costs = case.view.cost_rate(case.request.instrument)
    share = 1.0 / case.view.terms(case.request.strategy).leverage if case.instrument.is_perpetual else 1.0
    return case.added * to_decimal(case.worst) * to_decimal(share + costs)


Rule = tuple[RefusalCode, Callable[[Case], str | None]]

ALWAYS: tuple[Rule, ...] = (
    (RefusalCode.NOT_REDUCING, not_reducing),
    (RefusalCode.SHORT_NOT_ALLOWED, short_not_allowed),
    (RefusalCode.MIN_QUANTITY, min_quantity),
    (RefusalCode.MIN_NOTIONAL, min_notional),
    (RefusalCode.PRICE_COLLAR, price_collar),
)
"""Rules for every request."""

ENTRIES: tuple[Rule, ...] = (
    (RefusalCode.NO_PRICE, no_price),
    (RefusalCode.STALE_DATA, stale_data),
    (RefusalCode.FEED_NOT_CERTIFIED, feed_not_certified),
    (RefusalCode.VENUE_NOT_TRUSTED, venue_not_trusted),
    (RefusalCode.NOT_LISTED, not_listed),
    (RefusalCode.CIRCUIT_OPEN, circuit_open),
    (RefusalCode.UNKNOWN_ORDER_OPEN, unknown_order_open),
    (RefusalCode.MISSING_STOP, missing_stop),
    (RefusalCode.EXIT_NOT_FEASIBLE, exit_not_feasible),
    (RefusalCode.OPEN_ORDERS, open_orders),
    (RefusalCode.MAX_LEVERAGE, max_leverage),
    (RefusalCode.MAX_ORDER_VALUE, max_order_value),
    (RefusalCode.MAX_SLIPPAGE, max_slippage),
    (RefusalCode.MAX_COST, max_cost),
    (RefusalCode.MAX_POSITIONS, max_positions),
    (RefusalCode.MAX_EXPOSURE, max_exposure),
    (RefusalCode.MAX_ASSET_EXPOSURE, max_asset_exposure),
    (RefusalCode.MAX_VENUE_EXPOSURE, max_venue_exposure),
    (RefusalCode.MAX_BORROWED, max_borrowed),
    (RefusalCode.INSUFFICIENT_FUNDS, insufficient_funds),
)
"""Rules for requests that may make a position larger, in the order in which they answer."""
