"""A local exchange: five venues on loopback over one real matching core, with accounts that trade.

Plugin authors prove feeds, gateways and strategies with it: the markets are decided by a seed or by recordings, time
moves when it is told to, and what goes wrong stands in a script. It keeps the truth that clients are compared with.
"""

from abidance.testing.exchange.accounts import Account, Permissions
from abidance.testing.exchange.crowd import BarPath, Crowd, Player, Walk
from abidance.testing.exchange.desk import Entry
from abidance.testing.exchange.faults import Fault, Faults, Wrong
from abidance.testing.exchange.market import Market
from abidance.testing.exchange.server import LocalExchange
from abidance.testing.exchange.stage import generated, guided, played

__all__ = [
    "Account",
    "BarPath",
    "Crowd",
    "Entry",
    "Fault",
    "Faults",
    "LocalExchange",
    "Market",
    "Permissions",
    "Player",
    "Walk",
    "Wrong",
    "generated",
    "guided",
    "played",
]
