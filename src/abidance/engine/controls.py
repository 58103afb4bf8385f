"""What people and rules order a running engine to do: start, stop, pause, flatten, kill, set values."""

from collections.abc import Callable, Mapping, Sequence

from abidance.engine.actions import Actions
from abidance.engine.manual import MANUAL, manual_intent
from abidance.engine.runners import EventRunner, Runner
from abidance.engine.state import State
from abidance.engine.vigil import Vigil
from abidance.model.errors import StrategyError, UsageError, about
from abidance.model.event import Control, ControlAction, Part
from abidance.model.intent import CancelRequest
from abidance.model.money import ZERO, to_decimal
from abidance.model.order import OrderRequest
from abidance.risk.breaker import Breakers
from abidance.risk.config import BreakersConfig, LimitsConfig
from abidance.risk.gate import Gate
from abidance.risk.limiting import G, changed, loosened, told
from abidance.strategy.parameters import Value, parameters_of

_ENDING = frozenset({ControlAction.STOP, ControlAction.PAUSE_ENTRIES, ControlAction.KILL})


def _flattens(kill: Control) -> bool:
    """Say whether a kill closes positions."""
    return bool(kill.values.get("flatten")) or kill.values.get("extent") == "flatten"


def named_circuits(values: Mapping[str, object]) -> tuple[str, str]:
    """Return the venue and the part that an order to reset circuits names; empty names stand for all."""
    return str(values.get("venue", "")), str(values.get("part", ""))


def check_circuits(state: State, values: Mapping[str, object]) -> None:
    """Raise UsageError, by its field, for a venue that a run does not trade at and a circuit that there is not.

    Nothing would be closed, and who named them would believe that it was.
    """
    venue, part = named_circuits(values)
    venues = sorted({each.venue for each in state.instruments.values()})
    if venue and venue not in venues:
        with about("venue"):
            raise UsageError(f"This bot does not trade at {venue!r}.", f"It trades at {', '.join(venues)}.")
    if part and part not in tuple(Part):
        with about("part"):
            raise UsageError(f"There is no circuit {part!r}.", f"There are: {', '.join(Part)}.")


class Controls:
    """Takes orders to the strategies of one run; `begin` starts a strategy over events."""

    def __init__(
        self,
        state: State,
        actions: Actions,
        breakers: Breakers,
        gate: Gate,
        runners: Sequence[Runner],
        begin: Callable[[EventRunner], None],
        vigil: Vigil,
    ) -> None:
        self._state = state
        self._actions = actions
        self._breakers = breakers
        self._gate = gate
        self._runners = runners
        self._begin = begin
        self._vigil = vigil

    def take(self, event: Control) -> None:
        """Do what an order says, for the strategies that it names."""
        if event.action in MANUAL:
            self._manual(event)
            return
        if event.action is ControlAction.ADJUST:
            text = (
                f"{event.actor} brings our books in line with the account: {event.values.get('reason', '')}"
            )
            self._actions.note("warning", "adjusted", text)
            return
        if event.action in (ControlAction.SET_LIMITS, ControlAction.SET_BREAKERS):
            self._set_guards(event)
            return
        if event.action is ControlAction.RESET_CIRCUITS:
            self._reset_circuits(event)
            return
        names = [name for name in self._state.strategies if event.strategy in ("", name)]
        if not names:
            self._actions.note("error", "unknown_strategy", f"No strategy {event.strategy!r} runs here.")
        for name in names:
            self._act(event, name)
        if event.action is ControlAction.KILL:
            self._actions.tell(self._breakers.kill(self._state.now, event.actor))
            if event.values.get("extent") == "all":
                self._disarm()
        elif event.action is ControlAction.RELEASE:
            self._actions.tell(self._breakers.release(self._state.now, event.actor))
            self._arm()

    def _reset_circuits(self, event: Control) -> None:
        """Tell who wants which circuits closed; that they close is told by whoever watches them."""
        venue, part = named_circuits(event.values)
        found = [
            f"{each.part} of {each.venue or 'every venue'}"
            for each in self._state.feeds.circuits.values()
            if not each.is_closed and each.is_of(venue, part)
        ]
        text = (
            f"{event.actor or 'Somebody'} resets {', '.join(found)}." if found else "No such circuit is open."
        )
        self._actions.note("warning" if found else "info", "circuits_reset", text)

    def _disarm(self) -> None:
        """Take back what protects positions: a person wants nothing of ours at the venue."""
        self._actions.exits.armed = False
        self._actions.owed.clear()
        for position in self._state.portfolio.open_positions():
            self._actions.cancel_exits(position.strategy, position.instrument)
            self._vigil.note(position.strategy, position.instrument)

    def _arm(self) -> None:
        """State again what protects positions, if it was taken back."""
        exits = self._actions.exits
        if exits.armed:
            return
        exits.armed = True
        for position in self._state.portfolio.open_positions():
            instrument = self._state.instruments[position.instrument]
            self._actions.act(exits.standing(position, instrument))
            self._vigil.note(position.strategy, position.instrument)

    def _manual(self, event: Control) -> None:
        """Place, change or take back an order for a person; risk answers as it answers the strategy."""
        try:
            if event.strategy not in self._state.strategies:
                raise UsageError(
                    f"No strategy {event.strategy!r} runs here.", "Name one: the order belongs to it."
                )
            named = event.values.get("instrument")
            known = (
                self._state.price(named)
                if isinstance(named, str) and named in self._state.instruments
                else None
            )
            intent = manual_intent(event, ZERO if known is None else to_decimal(known))
            if not isinstance(intent, OrderRequest):
                order = self._state.orders.get(intent.order_id)
                if order is None or order.state.is_closed or order.request.strategy != event.strategy:
                    raise UsageError(
                        f"{event.strategy} has no open order {intent.order_id}.", "Nothing was changed."
                    )
            if (
                isinstance(intent, CancelRequest)
                and self._state.orders.change_of(intent.order_id) is not None
            ):
                raise UsageError("A change of that order is under way already.", "Wait for its answer.")
        except UsageError as error:
            self._actions.note("warning", "manual_refused", f"{event.actor}: {error}", event.strategy)
            return
        self._actions.act((intent,))

    def _act(self, event: Control, name: str) -> None:
        actions, action = self._actions, event.action
        if action is ControlAction.START:
            if name in actions.stopped:
                actions.stopped.discard(name)
                for runner in self._runners_of(name):
                    if isinstance(runner, EventRunner):
                        self._begin(runner)
        elif action is ControlAction.STOP:
            actions.stopped.add(name)
        elif action is ControlAction.PAUSE_ENTRIES:
            actions.paused.add(name)
        elif action is ControlAction.RESUME_ENTRIES:
            actions.paused.discard(name)
        elif action is ControlAction.SET_PARAMETERS:
            self._set_parameters(name, event.values)
        elif action is ControlAction.SET_ALLOCATION:
            self._set_allocation(name, event.values.get("allocation"))
        if action in _ENDING:
            actions.cancel_entries(name)
        if action is ControlAction.FLATTEN or (action is ControlAction.KILL and _flattens(event)):
            actions.flatten(name)

    def _set_parameters(self, name: str, values: dict[str, Value]) -> None:
        """Change a strategy's parameters, or none of them: what does not fit is told and the old ones stay."""
        runners = self._runners_of(name)
        before = {
            key: getattr(runner.strategy, key)
            for runner in runners
            for key in parameters_of(type(runner.strategy)).keys() & values.keys()
        }
        try:
            for runner in runners:
                runner.set_parameters(values)
        except (UsageError, StrategyError) as error:
            for runner in runners:
                runner.set_parameters(before)
            self._actions.note("error", "parameters_refused", f"{name} keeps its parameters: {error}", name)

    def _set_allocation(self, name: str, share: object) -> None:
        if isinstance(share, int | float) and 0 < share <= 1:
            self._state.allocations[name] = float(share)
        else:
            text = f"{name} keeps its allocation: {share!r} is no share above 0 and up to 1."
            self._actions.note("error", "allocation_refused", text, name)

    def _set_guards(self, event: Control) -> None:
        """Change the limits or breakers that are named, or none of them."""
        if event.action is ControlAction.SET_LIMITS:
            self._guard("limits", event, self._gate.limits, self._put_limits)
        else:
            self._guard("breakers", event, self._breakers.config, self._put_breakers)

    def _guard(self, what: str, event: Control, before: G, put: Callable[[G], None]) -> None:
        try:
            after = changed(before, event.values)
        except UsageError as error:
            self._actions.note("error", f"{what}_refused", f"{event.actor}: {error}")
            return
        if after == before:
            self._actions.note("info", f"{what}_unchanged", f"{event.actor}: the {what} were so already.")
            return
        level = "warning" if loosened(before, after) else "info"
        self._actions.note(level, f"{what}_changed", f"{event.actor} changed {told(before, after)}.")
        put(after)

    def _put_limits(self, limits: LimitsConfig) -> None:
        """Let limits hold; entries that rest are taken back where these would not pass any more."""
        self._gate.limits = limits
        if self._exceeds(limits):
            for name in self._state.strategies:
                self._actions.cancel_entries(name)

    def _put_breakers(self, breakers: BreakersConfig) -> None:
        self._breakers.change(breakers)
        self._vigil.change(breakers.unprotected)

    def _exceeds(self, limits: LimitsConfig) -> bool:
        """Say whether what is held and awaited is more than limits allow."""
        state, equity = self._state, self._state.equity()
        assets = {each.base for each in state.instruments.values()}
        venues = {each.venue for each in state.instruments.values()}
        return (
            state.open_position_count() > limits.max_positions
            or state.exposure() > limits.max_exposure * equity
            or any(state.exposure(asset=each) > limits.max_asset_exposure * equity for each in assets)
            or any(state.exposure(venue=each) > limits.max_venue_exposure * equity for each in venues)
        )

    def _runners_of(self, name: str) -> list[Runner]:
        return [runner for runner in self._runners if runner.name == name]
