"""How each perpetual of a run is to be traded, wherever its entries may go, and how those places are reached."""

from abidance.engine.config import StrategyConfig
from abidance.execution.config import RoutingConfig
from abidance.market.reference import instrument
from abidance.run.config import RunConfig
from abidance.run.golive import _access
from abidance.run.perpetuals import wanted_of
from abidance.security.keys import ExchangeKey
from abidance.security.secret import Secret
from abidance.venues.net.config import AddressConfig, FeedConfig

HOME, AWAY = "BTC/USDT:USDT@BINANCE", "BTC/USDT:USDT@BYBIT"
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
    places = [(each, config.places_of(each)) for each in config.strategies]

    wanted = wanted_of(config.perpetuals, places, {id: instrument(id) for id in (HOME, AWAY)})

    assert set(wanted.modes) == {HOME, AWAY}
    assert wanted.modes[HOME] == wanted.modes[AWAY]


def test_an_account_to_which_entries_are_routed_is_reached_where_its_contracts_are() -> None:
    none = Secret("")

    access = _access(routed(), ExchangeKey("BYBIT", "main", Secret("k"), none, none, 0))

    assert (access.rest_url, access.stream_url) == (STAND_IN.rest_url, STAND_IN.stream_url)
