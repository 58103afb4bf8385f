"""The shapes of MEXC's protobuf frames, built from field numbers; what is not listed is skipped by the parser."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

_PACKAGE = "abidance.mexc"
_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_INT32 = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
_INT64 = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
_TEXTS = {
    "Level": ("price", "quantity"),
    "BookTicker": ("bidPrice", "bidQuantity", "askPrice", "askQuantity"),
}
_MESSAGES: dict[str, tuple[tuple[int, str, int | str], ...]] = {
    **{
        name: tuple((at, text, _STRING) for at, text in enumerate(texts, 1)) for name, texts in _TEXTS.items()
    },
    "Deal": (
        (1, "price", _STRING),
        (2, "quantity", _STRING),
        (3, "tradeType", _INT32),
        (4, "time", _INT64),
        (5, "tradeId", _STRING),
    ),
    "Deals": ((1, "deals", "Deal"),),
    "Depths": (
        (1, "asks", "Level"),
        (2, "bids", "Level"),
        (4, "fromVersion", _STRING),
        (5, "toVersion", _STRING),
    ),
    "Kline": (
        (1, "interval", _STRING),
        (2, "windowStart", _INT64),
        (3, "openingPrice", _STRING),
        (4, "closingPrice", _STRING),
        (5, "highestPrice", _STRING),
        (6, "lowestPrice", _STRING),
        (7, "volume", _STRING),
    ),
    "OwnOrder": (
        (1, "id", _STRING),
        (2, "clientId", _STRING),
        (3, "price", _STRING),
        (4, "quantity", _STRING),
        (8, "tradeType", _INT32),
        (13, "cumulativeQuantity", _STRING),
        (15, "status", _INT32),
        (16, "createTime", _INT64),
    ),
    "OwnBalance": (
        (1, "vcoinName", _STRING),
        (3, "balanceAmount", _STRING),
        (4, "balanceAmountChange", _STRING),
        (5, "frozenAmount", _STRING),
        (6, "frozenAmountChange", _STRING),
        (7, "type", _STRING),
        (8, "time", _INT64),
    ),
    "Push": (
        (1, "channel", _STRING),
        (3, "symbol", _STRING),
        (5, "createTime", _INT64),
        (6, "sendTime", _INT64),
        (304, "ownOrder", "OwnOrder"),
        (307, "ownBalance", "OwnBalance"),
        (308, "kline", "Kline"),
        (313, "depths", "Depths"),
        (314, "deals", "Deals"),
        (315, "bookTicker", "BookTicker"),
    ),
}
_REPEATED = frozenset({"deals", "asks", "bids"})


def push_class() -> Any:
    """Return the message class of a whole frame."""
    file = descriptor_pb2.FileDescriptorProto(name="abidance/mexc.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, label, kind in fields:
            field = message.field.add(name=label, number=number)
            several = label in _REPEATED and name != "Push"
            field.label = field.LABEL_REPEATED if several else field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type = field.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Push"))
