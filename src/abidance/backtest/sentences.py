"""What each refusal means, in a sentence without numbers: compiled code notes codes, and people read sentences."""

from collections.abc import Mapping

from abidance.model.outcome import RefusalCode

_C = RefusalCode
SENTENCES: Mapping[RefusalCode, str] = {
    _C.HALTED: "No entries are taken until a person releases the halt.",
    _C.REDUCING: "The loss of the day is reached, so that only exits pass until midnight UTC.",
    _C.ENTRIES_PAUSED: "Entries are paused, or the instrument rests after a wild or impossible bar.",
    _C.STRATEGY_STOPPED: "The strategy is stopped, or rests after a row of losses.",
    _C.UNKNOWN_INSTRUMENT: "The run does not hold this instrument.",
    _C.NO_PRICE: "No usable price of the instrument has been seen yet.",
    _C.STALE_DATA: "The last price is too old to trade by.",
    _C.FEED_NOT_CERTIFIED: "A live stream that the entry needs is not whole and fresh.",
    _C.NOT_LISTED: "The instrument is no longer traded at its venue.",
    _C.VENUE_NOT_TRUSTED: "What is known of the account at the venue is in doubt.",
    _C.CIRCUIT_OPEN: "A circuit of the venue is open after too many failures.",
    _C.UNKNOWN_ORDER_OPEN: "An earlier order on the instrument may or may not be live.",
    _C.SHORT_NOT_ALLOWED: "More would be sold than is held, and the strategy may not be short there.",
    _C.NOT_REDUCING: "It may only reduce, and would not make the position smaller.",
    _C.ZERO_QUANTITY: "Less than one lot is left of its quantity.",
    _C.MIN_QUANTITY: "It is less than the smallest quantity that the venue takes.",
    _C.MIN_NOTIONAL: "It is worth less than the smallest order that the venue takes.",
    _C.EXIT_NOT_FEASIBLE: "After its stop-loss it would be too small to be sold again.",
    _C.PRICE_COLLAR: "Its limit or trigger is too far from the last price.",
    _C.MAX_ORDER_VALUE: "The order is worth more than one order may be.",
    _C.MAX_SLIPPAGE: "It is expected to trade too far from the middle of the market.",
    _C.MAX_COST: "Slippage and fees together would be more than its strategy allows.",
    _C.MAX_EXPOSURE: "All positions and pending entries together would be too much.",
    _C.MAX_ASSET_EXPOSURE: "Too much would hang on one asset.",
    _C.MAX_VENUE_EXPOSURE: "Too much would lie on one venue.",
    _C.MAX_BORROWED: "More is owed to venues than is allowed.",
    _C.MAX_POSITIONS: "It would be one position too many.",
    _C.MAX_LEVERAGE: "The leverage would be above what is allowed.",
    _C.INSUFFICIENT_FUNDS: "The free balance does not cover its value and the costs that are expected.",
    _C.ORDER_RATE: "There were too many entries within a minute.",
    _C.DUPLICATE: "It equals an entry that was sent a moment ago.",
    _C.MISSING_STOP: "Entries need a stop-loss or a trailing stop, and this one has none.",
    _C.OPEN_ORDERS: "Its venue has no room for one more order, or for its stop, in the instrument.",
    _C.MALFORMED: "The request contradicts itself, or its price or quantity is off the steps of the venue.",
    _C.BASKET: "Another request of the same basket was refused.",
}
