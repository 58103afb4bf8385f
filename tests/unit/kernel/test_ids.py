import pickle
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.kernel.ids import OrderIdParts, OrderIds, is_of_a_run
from abidance.model.errors import InvariantError

KEY = b"0123456789abcdef"
IDS = OrderIds(install=0xABCDEF, epoch=77, key=KEY)
MARKED = OrderIds(install=0xABCDEF, epoch=77, key=KEY, marked=True)
KINDS = pytest.mark.parametrize("ids", [IDS, MARKED], ids=["unmarked", "marked"])


@given(st.integers(0, 2**24 - 1), st.integers(0, 2**18 - 1), st.integers(0, 2**32 - 1))
def test_an_id_is_32_hex_digits_and_tells_what_went_in(install: int, epoch: int, sequence: int) -> None:
    ids = OrderIds(install, epoch, KEY)

    text = ids.make(sequence)

    assert len(text) == 32
    assert set(text) <= set("0123456789abcdef")
    assert ids.parse(text) == OrderIdParts(install, epoch, sequence)


@KINDS
def test_an_id_has_the_shape_of_a_version_4_uuid(ids: OrderIds) -> None:
    for sequence in range(100):
        assert UUID(ids.make(sequence)).version == 4


def test_no_two_sequences_make_one_id_and_one_sequence_always_makes_the_same() -> None:
    assert len({IDS.make(sequence) for sequence in range(5000)}) == 5000
    assert IDS.make(9) == OrderIds(0xABCDEF, 77, KEY).make(9)


def test_ids_of_an_earlier_start_are_ours() -> None:
    earlier = OrderIds(0xABCDEF, 3, KEY).make(12)

    assert IDS.is_ours(earlier)
    assert IDS.parse(earlier) == OrderIdParts(0xABCDEF, 3, 12)


def test_an_answer_in_capitals_or_with_dashes_is_recognised() -> None:
    text = IDS.make(5)

    assert IDS.is_ours(text.upper())
    assert IDS.is_ours(str(UUID(text)))


@given(
    st.one_of(
        st.text(max_size=40), st.uuids(version=4).map(lambda uuid: uuid.hex), st.from_regex(r"[0-9a-f]{32}")
    )
)
def test_what_others_made_is_not_ours(text: str) -> None:
    assert not IDS.is_ours(text)


@KINDS
@given(sequence=st.integers(0, 2**32 - 1), bit=st.integers(0, 127))
def test_an_id_with_one_bit_changed_is_not_ours(ids: OrderIds, sequence: int, bit: int) -> None:
    changed = f"{int(ids.make(sequence), 16) ^ 1 << bit:032x}"

    assert not ids.is_ours(changed)
    assert not is_of_a_run(changed)


@given(
    st.integers(0, 2**24 - 1),
    st.integers(0, 2**18 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=1, max_size=64),
)
def test_a_marked_id_is_known_to_every_run_and_is_of_one_alone(
    install: int, epoch: int, sequence: int, key: bytes
) -> None:
    ids = OrderIds(install, epoch, key, marked=True)

    text = ids.make(sequence)

    assert is_of_a_run(text)
    assert is_of_a_run(str(UUID(text)).upper())
    assert ids.parse(text) == OrderIdParts(install, epoch, sequence)
    assert not MARKED.is_ours(text) or (install, key) == (0xABCDEF, KEY)


@given(st.one_of(st.text(max_size=40), st.uuids(version=4).map(str), st.from_regex(r"[0-9a-f]{0,70}")))
def test_what_others_made_is_of_no_run(text: str) -> None:
    assert not is_of_a_run(text)


@pytest.mark.parametrize(
    "text", [MARKED.make(1) + "0", " " + MARKED.make(1), MARKED.make(1)[1:], IDS.make(1), "é" * 32]
)
def test_what_is_nearly_a_marked_id_is_of_no_run(text: str) -> None:
    assert not is_of_a_run(text)


def test_a_checkpoint_keeps_whether_ids_are_marked() -> None:
    assert pickle.loads(pickle.dumps(MARKED)).make(3) == MARKED.make(3) != IDS.make(3)


@pytest.mark.parametrize("other", [OrderIds(0xABCDEF, 77, KEY[::-1]), OrderIds(0xABCDEE, 77, KEY)])
def test_another_install_does_not_take_our_ids_for_its_own(other: OrderIds) -> None:
    assert not other.is_ours(IDS.make(1))


@pytest.mark.parametrize(
    "text", ["", "é" * 32, " " * 32, IDS.make(1) + "0", "0x" + IDS.make(1)[2:], IDS.make(1)[:-1]]
)
def test_text_that_is_no_id_is_not_ours(text: str) -> None:
    assert not IDS.is_ours(text)


@pytest.mark.parametrize(
    ("install", "epoch", "key"), [(1 << 24, 0, KEY), (0, 1 << 18, KEY), (-1, 0, KEY), (0, 0, b"")]
)
def test_numbers_that_would_repeat_ids_are_refused(install: int, epoch: int, key: bytes) -> None:
    with pytest.raises(InvariantError):
        OrderIds(install, epoch, key)


@pytest.mark.parametrize("sequence", [-1, 1 << 32])
def test_a_sequence_that_does_not_fit_is_refused(sequence: int) -> None:
    with pytest.raises(InvariantError):
        IDS.make(sequence)
