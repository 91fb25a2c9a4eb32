"""What is written is read again as it was; what a stranger writes is a value within bounds, or an error in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.lease import written
from bareboat.lease.values import SLOTS, Ask, Holding, Page, Wish
from bareboat.training.values import Need

IDS = st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True)
NAMES = st.text(max_size=200)
AMOUNTS = st.floats(0, 1e12)
UNITS = st.dictionaries(st.from_regex(r"GPU-[0-9a-f]{1,20}", fullmatch=True), st.integers(1, SLOTS), max_size=8)
HOLDINGS = st.builds(
    Holding, uid=st.integers(0, 2**31), run=IDS, name=NAMES, kind=st.sampled_from(written.KINDS),
    units=UNITS.map(lambda d: tuple(d.items())), cpus=AMOUNTS, memory=st.integers(0, 2**50), started=AMOUNTS,
    ends=AMOUNTS, priority=st.integers(-1000, 1000), preemptible=st.none() | st.booleans(), ending=st.booleans())
WISHES = st.builds(
    Wish, run=IDS, name=NAMES, need=st.builds(Need, gpus=st.floats(0, 64), cpus=AMOUNTS, memory=st.integers(0, 2**50),
                                              seconds=AMOUNTS, nodes=st.integers(1, 9)),
    priority=st.integers(-1000, 1000), submitted=AMOUNTS, preemptible=st.none() | st.booleans())
PAGES = st.builds(Page, uid=st.integers(0, 2**31), written=AMOUNTS, use=AMOUNTS,
                  wishes=st.lists(WISHES, max_size=4).map(tuple), more=st.integers(0, 1000),
                  asks=st.lists(st.builds(Ask, uid=st.integers(0, 2**31), run=IDS, wish=IDS), max_size=3).map(tuple))
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
                    max_leaves=12)


@given(HOLDINGS, st.integers(0, 2**31))
def test_a_holding_is_its_owners_whatever_it_says(holding: Holding, uid: int) -> None:
    read = written.read_holding(written.write_holding(holding), uid)
    assert (read.uid, read.run, read.units, read.ends) == (uid, holding.run, holding.units, holding.ends)
    assert written.read_holding(written.write_holding(read), uid) == read
    assert read.name.isprintable() or not read.name


@given(PAGES)
def test_a_page_is_read_as_it_was_written(page: Page) -> None:
    read = written.read_page(written.write_page(page), page.uid)
    assert (read.asks, read.more) == (page.asks, page.more)
    assert [w.need for w in read.wishes] == [w.need for w in page.wishes]


@given(st.dictionaries(st.sampled_from([*Holding.__dataclass_fields__, *Page.__dataclass_fields__, "x"]), JSON))
def test_any_document_is_a_value_or_an_error_in_words(document: dict[str, object]) -> None:
    data = json.dumps(document).encode()
    for read in (written.read_holding, written.read_page):
        try:
            found = read(data, 7)
        except ValueError as error:
            assert str(error)
        else:
            assert found.uid == 7


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for read in (written.read_holding, written.read_page):
        with pytest.raises(ValueError, match=r"\w"):
            read(b"\0" + data, 7)


def test_what_no_reader_would_believe_is_not_written() -> None:
    with pytest.raises(ValueError, match="run is no id"):
        written.write_holding(Holding(0, "../x"))
    with pytest.raises(ValueError, match="too many"):
        written.write_holding(Holding(0, "r", units=(("a", 1), ("a", 2))))
