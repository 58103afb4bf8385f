"""What compiled code refuses is told in sentences, one for each code."""

import re
from pathlib import Path

from abidance.backtest.sentences import SENTENCES
from abidance.model.outcome import RefusalCode
from abidance.run import compiled


def test_every_code_has_one_sentence_of_its_own_that_is_no_code() -> None:
    assert set(SENTENCES) == set(RefusalCode)
    assert len(set(SENTENCES.values())) == len(SENTENCES)
    for code, sentence in SENTENCES.items():
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert sentence.count(".") == 1
        assert "_" not in sentence
        assert code.value not in sentence.lower().split() or "_" not in code.value


def test_every_setting_that_compiled_code_gives_as_a_reason_stands_in_the_documentation() -> None:
    source = Path(compiled.__file__).read_text("utf-8")
    reasons = source[source.index("def unsupported(") : source.index("# --- the scene")]
    page = (Path(__file__).parents[3] / "docs" / "backtesting-assumptions.md").read_text("utf-8")
    section = page[page.index("## The compiled executor") :]

    named = set(re.findall(r"`([a-z_.]+)`", reasons)) - {"allocation.method", "sizing.lookback"}

    assert {"routing.routes", "execution"} <= named
    assert {name for name in named if f"`{name}`" not in section} == set()
