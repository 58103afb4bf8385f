"""The only place where a request becomes `Approved`. It answers every request with a verdict and never raises.

The gate remembers entries of the last minute (rate) and of the duplicate window; all other state is the view's. The
caller registers each approved order before it asks again, so that the view counts it; within a basket the gate counts.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from abidance.model.estimate import shown_price
from abidance.model.instrument import SECOND_NS
from abidance.model.order import OrderRequest
from abidance.model.outcome import Approved, RefusalCode, Refused, Verdict
from abidance.risk.config import LimitsConfig, RiskConfig
from abidance.risk.form import Breach, flaw, flaw_of_names
from abidance.risk.limits import ALWAYS, ENTRIES, Case, Rule, case_of
from abidance.risk.state import Standing, TradingState
from abidance.risk.view import RiskView

_MINUTE_NS = 60 * SECOND_NS
_REMEMBERED = 10_000
_Key = tuple[str, str, str, Decimal, Decimal | None, Decimal | None, object]
_OF_PARTS = frozenset({RefusalCode.MAX_ORDER_VALUE, RefusalCode.MAX_SLIPPAGE, RefusalCode.MAX_COST})
_WHOLE = tuple(rule for rule in ENTRIES if rule[0] not in _OF_PARTS)
_CHANGES = tuple(rule for rule in ENTRIES if rule[0] is not RefusalCode.OPEN_ORDERS)
"""What a change has to pass: it stands where the order stood."""


class Gate:
    """Answers requests with verdicts under the limits of a run."""

    def __init__(self, config: RiskConfig) -> None:
        self.limits = config.limits
        self._sent: deque[int] = deque()
        self._recent: OrderedDict[_Key, int] = OrderedDict()

    @property
    def limits(self) -> LimitsConfig:
        """Return the limits that hold now; what is set holds for the next request."""
        return self._limits

    @limits.setter
    def limits(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self._window_ns = round(limits.duplicate_window * SECOND_NS)

    def check(
        self, request: OrderRequest, view: RiskView, standing: Standing, replaces: OrderRequest | None = None
    ) -> Verdict:
        """Return the verdict on one request.

        For an amendment, `request` is the order as it would stand, `replaces` what is open of it now (its quantity
        being what remains), which the view counts among the pending.
        """
        entries = ENTRIES if replaces is None else _CHANGES
        found = self._examine(request, view, standing, (), replaces, entries)
        if not isinstance(found, Case):
            return Refused(request, *found)
        self._remember(found)
        return Approved(self._priced(found))

    def foresee(self, request: OrderRequest, view: RiskView, standing: Standing) -> Refused | None:
        """Return why an entry that is to leave in parts would be refused as a whole, or None. Nothing is approved.

        What an order may be worth and cost is judged part by part.
        """
        found = self._examine(request, view, standing, (), entries=_WHOLE)
        return None if isinstance(found, Case) else Refused(request, *found)

    def check_all(
        self, requests: Sequence[OrderRequest], view: RiskView, standing: Standing
    ) -> tuple[Verdict, ...]:
        """Return the verdicts on a basket: all approved, or all refused (the innocent ones with BASKET).

        Each request is judged as if those before it had been sent and the worst had happened.
        """
        cases: tuple[Case, ...] = ()
        for at, request in enumerate(requests):
            found = self._examine(request, view, standing, cases)
            if not isinstance(found, Case):
                code, reason = found
                told = f"Request {at + 1} of {len(requests)} in its basket was refused ({code}): {reason}"
                return tuple(
                    Refused(each, code, reason) if index == at else Refused(each, RefusalCode.BASKET, told)
                    for index, each in enumerate(requests)
                )
            cases += (found,)
        for case in cases:
            self._remember(case)
        return tuple(Approved(self._priced(case)) for case in cases)

    def _examine(
        self,
        request: OrderRequest,
        view: RiskView,
        standing: Standing,
        earlier: tuple[Case, ...],
        replaces: OrderRequest | None = None,
        entries: tuple[Rule, ...] = ENTRIES,
    ) -> Case | Breach:
        """Return why the request is refused, or the case that passed."""
        if breach := flaw_of_names(request):
            return breach
        instrument = view.instrument(request.instrument)
        if instrument is None:
            return RefusalCode.UNKNOWN_INSTRUMENT, f"The run does not hold {request.instrument}."
        if breach := flaw(request, instrument):
            return breach
        case = case_of(request, instrument, view, self._limits, earlier, replaces)
        if breach := _first(ALWAYS, case):
            return breach
        if case.reduces:
            return case
        if standing.state is not TradingState.ACTIVE:
            return standing.code or RefusalCode.HALTED, standing.reason or f"Trading is {standing.state}."
        return _first(entries, case) or self._too_often(case) or case

    def _priced(self, case: Case) -> OrderRequest:
        """Return an entry with the price that was expected of it, where its cost is limited."""
        limited = self._limits.max_slippage is not None or case.view.terms(case.request.strategy).max_cost
        found = case.view.pricing.estimate(case.request) if limited and not case.reduces else None
        if found is None:
            return case.request
        request: OrderRequest = msgspec.structs.replace(case.request, expected=shown_price(found.price))
        return request

    def _too_often(self, case: Case) -> Breach | None:
        """Return a breach of the order rate or of the duplicate window."""
        now, limit = case.view.now, self._limits.max_orders_per_minute
        while self._sent and now - self._sent[0] >= _MINUTE_NS:
            self._sent.popleft()
        count = len(self._sent) + sum(not other.reduces for other in case.earlier) + 1
        if count > limit:
            return (
                RefusalCode.ORDER_RATE,
                f"It would be entry {count} within 60 s, more than {limit} (`risk.limits.max_orders_per_minute`).",
            )
        key = _key(case)
        before = self._recent.get(key)
        again = before is not None and now - before < self._window_ns
        if again or (self._window_ns and any(_key(other) == key for other in case.earlier)):
            window = self._limits.duplicate_window
            return (
                RefusalCode.DUPLICATE,
                f"An equal entry was sent within {window:g} s (`risk.limits.duplicate_window`).",
            )
        return None

    def _remember(self, case: Case) -> None:
        """Note an approved entry; what is too old or too much is forgotten, oldest first."""
        if case.reduces:
            return
        now = case.view.now
        self._sent.append(now)
        if not self._window_ns:
            return
        key = _key(case)
        self._recent[key] = now
        self._recent.move_to_end(key)
        oldest = next(iter(self._recent))
        while now - self._recent[oldest] >= self._window_ns or len(self._recent) > _REMEMBERED:
            del self._recent[oldest]
            oldest = next(iter(self._recent))


def _first(rules: tuple[Rule, ...], case: Case) -> Breach | None:
    """Return the first breach of `rules`."""
    for code, rule in rules:
        if reason := rule(case):
            return code, reason
    return None


def _key(case: Case) -> _Key:
    """Return what makes two entries equal."""
    request = case.request
    return (
        request.strategy,
        request.instrument,
        request.side,
        request.quantity,
        request.price,
        request.trigger,
        request.part,
    )
