"""A secret shows itself as three stars, whoever asks and however."""

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass

import msgspec
import pydantic
import pytest

from abidance.kernel.log import Redaction
from abidance.security.secret import Secret

PLAIN = "hunter-2-hunter-2"


@dataclass(frozen=True)
class Holder:
    key: Secret


class Model(pydantic.BaseModel):
    key: Secret


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(PLAIN)),
        str(Secret(PLAIN)),
        f"{Secret(PLAIN)}",
        f"{Secret(PLAIN):>20}",
        f"{Secret(PLAIN)!r:.9}",
        "%s %r" % (Secret(PLAIN), Secret(PLAIN)),  # noqa: UP031 - this way of writing is what is tested
        repr([Secret(PLAIN)]),
        repr(Holder(Secret(PLAIN))),
        str(asdict(Holder(Secret(PLAIN)))),
        repr(copy.deepcopy(Secret(PLAIN))),
        json.dumps({"a": Secret(PLAIN)}, default=str),
        msgspec.json.encode({"a": Secret(PLAIN)}, enc_hook=str).decode(),
        Model(key=Secret(PLAIN)).model_dump_json(),
        str(Model(key=Secret(PLAIN)).model_dump()),
        repr(Model(key=Secret(PLAIN))),
        Model.model_validate({"key": PLAIN}).model_dump_json(),
        str(Redaction().value({"a": Secret(PLAIN), "deep": [Secret(PLAIN)]})),
    ],
)
def test_every_way_to_write_it_gives_three_stars(shown: str) -> None:
    assert "***" in shown
    assert PLAIN[:4] not in shown


def test_what_cannot_write_stars_writes_nothing() -> None:
    for write in (pickle.dumps, json.dumps, msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins):
        with pytest.raises(TypeError) as caught:
            write(Secret(PLAIN))
        assert PLAIN[:4] not in str(caught.value)


def test_a_traceback_and_a_log_line_do_not_tell_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(PLAIN)

    try:
        raise ValueError(secret, f"with {secret}")
    except ValueError:
        logging.getLogger("test").exception("failed with %s", secret)
        shown = traceback.format_exc()

    assert PLAIN[:4] not in shown + caplog.text


def test_a_model_that_refuses_a_secret_does_not_quote_it() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Model.model_validate({"key": 12_345_678})

    assert "a text is wanted" in str(caught.value)


def test_equal_secrets_are_equal_and_only_reveal_tells() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")
    assert Secret("a").reveal() == "a"
    with pytest.raises(TypeError):
        hash(Secret("a"))
