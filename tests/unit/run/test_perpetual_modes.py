"""How each perpetual of a run is to be traded, wherever its entries may go, and how those places are reached."""

from typing import cast

import pytest

from abidance.engine.config import StrategyConfig
from abidance.execution.config import RoutingConfig
from abidance.market.reference import instrument
from abidance.model.errors import ConfigError
from abidance.run.config import RunConfig
from abidance.run.golive import _access, make_ready
from abidance.run.perpetuals import check_holders, wanted_of
from abidance.security.keys import ExchangeKey, Keys
from abidance.security.secret import Secret
from abidance.venues.net.config import AddressConfig, FeedConfig

HOME, AWAY, SPOT = "BTC/USDT:USDT@BINANCE", "BTC/USDT:USDT@BYBIT", "BTC/USDT@BINANCE"
STAND_IN = AddressConfig(rest_url="http://127.0.0.1:1", stream_url="ws://127.0.0.1:1")


def routed() -> RunConfig:
    return RunConfig(
        instruments=(HOME,),
        strategies=(StrategyConfig(strategy="EmaCross", leverage=3.0),),
        routing=RoutingConfig(routes={HOME: (AWAY,)}),
        feed=FeedConfig(addresses={"BYBIT-perpetual": STAND_IN}),
    ).ready()


def test_a_contract_to_which_entries_are_routed_is_traded_in_the_same_way_as_at_home() -> None:
    config = routed()

    wanted = wanted_of(config.perpetuals, config.places(), {id: instrument(id) for id in (HOME, AWAY)})

    assert set(wanted.modes) == {HOME, AWAY}
    assert wanted.modes[HOME] == wanted.modes[AWAY]


def two(first: str, second: str, routes: dict[str, tuple[str, ...]]) -> RunConfig:
    strategies = tuple(
        StrategyConfig(strategy="EmaCross", name=name, instruments=(id,), allocation=0.5)
        for name, id in (("one", first), ("other", second))
    )
    return RunConfig(
        instruments=(first,), strategies=strategies, routing=RoutingConfig(routes=routes)
    ).ready()


@pytest.mark.parametrize(("first", "second", "routes"), [(HOME, HOME, {}), (HOME, AWAY, {HOME: (AWAY,)})])
def test_no_two_strategies_may_hold_one_perpetual_of_an_account_by_routes_neither(
    first: str, second: str, routes: dict[str, tuple[str, ...]]
) -> None:
    with pytest.raises(ConfigError, match="one and other may both hold") as told:
        check_holders(two(first, second, routes).places())
    assert second in str(told.value)


@pytest.mark.parametrize(("first", "second"), [(SPOT, SPOT), (HOME, SPOT), (HOME, AWAY)])
def test_strategies_may_share_a_spot_market_and_have_a_perpetual_each(first: str, second: str) -> None:
    check_holders(two(first, second, {}).places())


def test_two_strategies_on_one_perpetual_are_told_of_before_any_key_is_looked_for() -> None:
    with pytest.raises(ConfigError, match="may both hold"):
        make_ready(two(HOME, HOME, {}), cast(Keys, None))


def test_an_account_to_which_entries_are_routed_is_reached_where_its_contracts_are() -> None:
    none = Secret("")

    access = _access(routed(), ExchangeKey("BYBIT", "main", Secret("k"), none, none, 0))

    assert (access.rest_url, access.stream_url) == (STAND_IN.rest_url, STAND_IN.stream_url)
