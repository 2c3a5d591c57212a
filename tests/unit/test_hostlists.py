"""Host lists: what is read, what is refused and where, and what is written."""

from __future__ import annotations

import random

import hostlist
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers.placement.hostlists import (
    HostListError,
    expand,
    expand_all,
    fold,
    fold_short,
    is_name,
    natural_key,
    natural_sorted,
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("node1", ["node1"]),
        ("login,mgmt", ["login", "mgmt"]),
        ("node[09-11]", ["node09", "node10", "node11"]),
        ("n[9-11]", ["n9", "n10", "n11"]),
        ("n[098-100]", ["n098", "n099", "n100"]),
        ("n[1-03]", ["n1", "n2", "n3"]),
        ("n[01-3]", ["n01", "n02", "n03"]),
        ("nid00[111,169-170,174]", ["nid00111", "nid00169", "nid00170", "nid00174"]),
        ("x[1-2]c[0,3]", ["x1c0", "x1c3", "x2c0", "x2c3"]),
        ("n[08-09]-ib", ["n08-ib", "n09-ib"]),
        ("r[1-2][0-1]", ["r10", "r11", "r20", "r21"]),
        ("a.b-c_d,e[5]", ["a.b-c_d", "e5"]),
        ("b,a[2,1],b", ["b", "a2", "a1", "b"]),
        ("[1-3]", ["1", "2", "3"]),
        ("n[5-5]", ["n5"]),
        (" node1,node2\n", ["node1", "node2"]),
    ],
)
def test_expand(text: str, names: list[str]) -> None:
    assert expand(text) == names


@pytest.mark.parametrize("text", [None, "", "  ", "(null)", "None assigned"])
def test_no_nodes(text: str | None) -> None:
    assert expand(text) == []


def test_duplicates_are_kept_or_dropped() -> None:
    assert expand("c,a[1-2],a1,c") == ["c", "a1", "a2", "a1", "c"]
    assert expand("c,a[1-2],a1,c", unique=True) == ["c", "a1", "a2"]


def test_expand_all_takes_one_text_or_several() -> None:
    assert expand_all(None) == []
    assert expand_all("a[1-2]") == ["a1", "a2"]
    assert expand_all(["a[1-2]", "(null)", "b,a1"]) == ["a1", "a2", "b", "a1"]
    assert expand_all(["a[1-2]", "b,a1"], unique=True) == ["a1", "a2", "b"]
    with pytest.raises(HostListError, match="must be a string, not int"):
        expand_all(["a", 7])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("n[1-3", 1, "never closed"),
        ("a,n[1-3,b[4]", 3, "'\\[' inside brackets"),
        ("n1-3]", 4, "']' without"),
        ("a,,b", 2, "empty item"),
        (",a", 0, "empty item"),
        ("a,", 2, "empty item"),
        ("n[]", 2, "empty item inside"),
        ("n[1,,2]", 4, "empty item inside"),
        ("n[1-]", 2, "'1-' is neither"),
        ("n[4,1-2-3]", 4, "'1-2-3' is neither"),
        ("n[7,20-10]", 4, "20-10 runs backwards"),
        ("n[1,a]", 1, "'a' inside brackets"),
        ("a, b", 2, "blank"),
        (" a b", 2, "blank"),
        ("n[1, 2]", 1, "' ' inside brackets"),
        ("a;b", 1, "';' is not allowed"),
        ("a,$(reboot)", 2, "'\\$' is not allowed"),
        ("knöten1", 2, "'ö' is not allowed"),
        ("n[٣]", 1, "inside brackets"),
        ("a,-N4", 2, "cannot start with '-'"),
        ("n[1-200001]", 2, "more than 200,000"),
        ("n[" + "9" * 5000 + "]", 2, "more than 15 digits"),
        ("a[1-2000]b[1-2000]", 10, "more than 2,000,000"),
        ("x" * 256, 0, "more than 255 characters"),
        ("x" * 250 + "[1-100000]", 0, "more than 255 characters"),
    ],
)
def test_bad_lists_say_where_and_what(text: str, position: int, problem: str) -> None:
    with pytest.raises(HostListError, match=problem) as caught:
        expand(text)
    assert caught.value.position == position
    assert f"at character {position + 1}" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_messages_of_long_lists_stay_short() -> None:
    with pytest.raises(HostListError) as caught:
        expand(",".join(f"node{number}" for number in range(10_000)) + ",bad one,\nmore")
    assert len(str(caught.value)) < 200
    assert "bad one,\\nmore" in str(caught.value)


def test_the_limit_counts_over_all_texts() -> None:
    many = ["n[1-200000]"] * 10
    assert len(expand_all(many)) == 2_000_000
    with pytest.raises(HostListError, match="more than 2,000,000"):
        expand_all([*many, "one,more"])


NUMBERS = st.integers(0, 120).map(str) | st.integers(0, 120).map("{:03}".format)
NAMES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["n", "node", "x1c", "a.b-", "n_", "9", "", "n0"]),
    NUMBERS,
    st.sampled_from(["", "", "", "-ib", "c", "c2", "-"]),
)
NAMES = NAMES | st.from_regex(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,8}", fullmatch=True)


@given(st.lists(NAMES, max_size=80))
def test_fold_and_expand_are_inverse(names: list[str]) -> None:
    folded = fold(names)
    assert set(expand(folded)) == set(names)
    assert len(expand(folded)) == len(set(names))
    # The order in which names come does not matter.
    assert fold(reversed(names)) == folded
    # What Slurm takes: a bracket only at the end of a name, after some text.
    for item in folded.replace("]", "],").split("],"):
        assert not item.startswith("[")
    for index, char in enumerate(folded):
        assert char != "]" or folded[index + 1 : index + 2] in ("", ",")


@given(st.lists(NAMES, min_size=1, max_size=80))
def test_other_readers_agree(names: list[str]) -> None:
    assert set(hostlist.expand_hostlist(fold(names))) == set(names)
    collected = hostlist.collect_hostlist(names)
    assert set(expand(collected)) == set(names)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["n", "node-", "x"]),
            st.lists(
                st.tuples(st.integers(0, 99), st.integers(0, 12), st.sampled_from(["", "0", "00"])),
                min_size=1,
                max_size=3,
            ),
            st.sampled_from(["", "c[0-1]", "-ib", "c[7]x"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_same_expansion_as_python_hostlist(items: list[tuple[str, list[tuple], str]]) -> None:
    text = ",".join(
        f"{head}[{','.join(f'{zeros}{low}-{low + more}' for low, more, zeros in spans)}]{tail}"
        for head, spans, tail in items
    )
    assert expand(text) == hostlist.expand_hostlist(text, allow_duplicates=True)
    assert expand(text, unique=True) == hostlist.expand_hostlist(text)


@given(st.text(alphabet="n1x[]-, .0", max_size=12))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        names = expand(text)
    except HostListError as error:
        assert 0 <= error.position <= len(text)
        return
    assert all(is_name(name) for name in names)
    # What we take, python-hostlist reads in the same way.
    if text.strip():
        assert names == hostlist.expand_hostlist(text.strip(), allow_duplicates=True)


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], ""),
        (["b", "a"], "a,b"),
        (["n3", "n1", "n2", "n2"], "n[1-3]"),
        (["n7"], "n7"),
        (["n8", "n9", "n10", "n11"], "n[8-11]"),
        (["n08", "n09", "n10"], "n[08-10]"),
        (["n1", "n01", "n2", "n02"], "n[1-2,01-02]"),
        (["nid00111", "nid00169", "nid00170", "x1", "x02"], "nid[00111,00169-00170],x[1,02]"),
        (["n", "n1"], "n,n1"),
        (["1", "2"], "1,2"),
        (["n1-ib", "n2-ib"], "n1-ib,n2-ib"),
        (["x10c0", "x2c1", "x2c0"], "x2c[0-1],x10c0"),
    ],
)
def test_fold(names: list[str], folded: str) -> None:
    assert fold(names) == folded


def test_fold_keeps_ranges_within_what_slurm_takes() -> None:
    assert fold(f"n{number}" for number in range(100_000)) == "n[0-65535,65536-99999]"


@pytest.mark.parametrize("name", ["a,b", "a b", "a[1]", "", "-n", "a\n", "x" * 256])
def test_fold_refuses_what_could_not_be_read_back(name: str) -> None:
    with pytest.raises(HostListError, match="not a node name"):
        fold(["good1", name])


def test_fold_short() -> None:
    nodes = [f"node{number:02}" for number in range(1, 21)]
    assert fold_short([]) == ""
    assert fold_short(nodes) == "node[01-20]"
    others = [f"rack{number}-gpu" for number in range(292)]
    assert fold_short(nodes + others, limit=11) == "node[01-20],... (312 nodes)"
    assert fold_short(nodes + others, limit=11, count=False) == "node[01-20],..."
    # A long bracket is cut between its numbers, and closed.
    even = [f"n{number}" for number in range(0, 4000, 2)]
    assert fold_short(even, limit=12) == "n[0,2,4,6,8],... (2,000 nodes)"
    assert fold_short(even, limit=1) == "n0,... (2,000 nodes)"


@given(st.lists(st.text(max_size=6) | NAMES, max_size=40), st.integers(0, 60))
def test_fold_short_shows_anything_briefly(names: list[str], limit: int) -> None:
    text = fold_short(names, limit)
    assert "\n" not in text
    # A name is shown however long it is, and how many there are.
    assert len(text) <= limit + 90
    assert bool(text) == bool(names)


@given(st.lists(NAMES | st.text(alphabet="n01\n", max_size=6), unique=True), st.randoms())
def test_natural_order(names: list[str], rng: random.Random) -> None:
    ordered = natural_sorted(names)
    assert ordered == sorted(names, key=natural_key)
    rng.shuffle(names)
    assert natural_sorted(names) == ordered


def test_natural_order_puts_numbers_by_value() -> None:
    names = ["node10", "node2", "x2c0", "x1c10", "x1c9", "n01", "n1", "10", "9", "a"]
    assert natural_sorted(names) == [
        "9",
        "10",
        "a",
        "n01",
        "n1",
        "node2",
        "node10",
        "x1c9",
        "x1c10",
        "x2c0",
    ]
    assert natural_sorted(["n" + "1" * 5000, "n2"])[0] == "n2"
