"""What --sweep says, the points that come of it, and their values in a command."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import UsageError
from bareboat.training.sweep import POINTS_MOST, Sweep, grid, values_of, variable
from bareboat.training.sweep_command import filler, point_name, points
from bareboat.training.values import Point

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)


@pytest.mark.parametrize(("text", "values"), [
    ("0.1,0.01", ("0.1", "0.01")),
    (" 0.1 ,\t0.01 ", ("0.1", "0.01")),
    ("1..5", ("1", "2", "3", "4", "5")),
    ("5..3", ("5", "4", "3")),
    ("-1..1", ("-1", "0", "1")),
    ("3..3", ("3",)),
    ("1..10..4", ("1", "5", "9")),
    ("10..1..4", ("10", "6", "2")),
    ("10..1..-4", ("10", "6", "2")),
    ("08..11", ("08", "09", "10", "11")),
    ("0..0.5..0.1", ("0", "0.1", "0.2", "0.3", "0.4", "0.5")),
    ("1..2..0.5", ("1", "1.5", "2")),
    ("1e-4..1e-1..x10", ("0.0001", "0.001", "0.01", "0.1")),
    ("1..1e-8..x100", ("1", "0.01", "0.0001", "0.000001", "1e-8")),
    ("1..0.1..x3", ("1", "0.333333333333333", "0.111111111111111")),
    ("9999999999999999..10000000000000001",
     ("9999999999999999", "10000000000000000", "10000000000000001")),
    ("1,3..5,10", ("1", "3", "4", "5", "10")),
    ("1..2,1..2", ("1", "2", "1", "2")),
    ('"a, b",\'c d\',""', ("a, b", "c d", "")),
    (r'"a\nb","\u00e9","\"","x\\y"', ("a\nb", "é", '"', "x\\y")),
    ('"a\nb"', ("a\nb",)),
    (r"'\n','\"'", (r"\n", r"\"")),
    ("'1..3'", ("1..3",)),
    ("it's,5\"", ("it's", '5"')),
    ("../a,1../b,x..y", ("../a", "1../b", "x..y")),
    ("--flag,-1,a=b", ("--flag", "-1", "a=b")),
    ("über,日本", ("über", "日本")),
    ("\udcff", ("\udcff",)),
])
def test_values(text: str, values: tuple[str, ...]) -> None:
    assert values_of(text, "x") == values


@pytest.mark.parametrize(("word", "code"), [
    ("lr", "sweep.parameter"), ("=1", "sweep.parameter"), ("1a=1", "sweep.parameter"), ("a b=1", "sweep.parameter"),
    ("é=1", "sweep.parameter"), (f"{'a' * 101}=1", "sweep.parameter"),
    ("lr=", "sweep.values"), ("lr=1,", "sweep.values"), ("lr=,1", "sweep.values"), ("lr=1,,2", "sweep.values"),
    ("lr='a", "sweep.values"), ('lr="a', "sweep.values"), ('lr="a"b', "sweep.values"), (r'lr="\x"', "sweep.values"),
    ("lr=a\0b", "sweep.values"), (r'lr="\u0000"', "sweep.values"), (r'lr="\ud800"', "sweep.values"),
    ("lr=1..x", "sweep.range"), ("lr=1...5", "sweep.range"), ("lr=1..5..", "sweep.range"),
    ("lr=1..2..3..4", "sweep.range"), ("lr=0.1..0.5", "sweep.range"), ("lr=1..5..0", "sweep.range"),
    ("lr=1..5..-1", "sweep.range"), ("lr=0..1..x10", "sweep.range"), ("lr=-1..1..x10", "sweep.range"),
    ("lr=1..5..x1", "sweep.range"),
    ("lr=1..1000000", "sweep.too-many"), ("lr=0..1..1e-300", "sweep.too-many"),
    (f"lr=1{'0' * 70}..2{'0' * 70}", "sweep.too-many"),
])
def test_what_is_no_sweep(word: str, code: str) -> None:
    with pytest.raises(UsageError) as error:
        grid([word])
    assert error.value.code == code
    assert "sweep" in error.value.where or "lr" in error.value.where


def test_a_grid_is_nested_loops() -> None:
    assert grid(["a=1,2", "b=x,y"]) == Sweep(("a", "b"), (("1", "x"), ("1", "y"), ("2", "x"), ("2", "y")))


def test_rows_of_a_file_are_the_outermost_loop() -> None:
    assert grid(["s=1,2"], Sweep(("a",), (("x",), ("y",)))) == Sweep(
        ("a", "s"), (("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")))
    assert grid([], Sweep(("a",), (("x",),))) == Sweep(("a",), (("x",),))


def test_doubles_are_counted_and_kept() -> None:
    assert grid(["a=1,1,2", "b=x,x"]).doubles() == 4


@pytest.mark.parametrize("words", [["a=1", "a=2"], ["a=1", "A=2"], ["a.b=1", "a-b=2"]])
def test_no_parameter_twice(words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        grid(words)
    assert error.value.code == "sweep.twice"


def test_the_bound_is_of_points_and_not_made_first() -> None:
    assert len(grid(["a=1..1000", "b=1..100"]).rows) == POINTS_MOST
    with pytest.raises(UsageError) as error:
        grid([f"p{n}=1..1000" for n in range(40)])
    assert error.value.code == "sweep.too-many"


@given(st.lists(TEXT, min_size=1, max_size=8))
def test_every_text_can_be_said_in_quotes(values: list[str]) -> None:
    assert values_of(",".join(json.dumps(v) for v in values), "x") == tuple(values)
    assert values_of(" , ".join(json.dumps(v, ensure_ascii=False) for v in values), "x") == tuple(values)
    plain = [v.replace("'", "") for v in values]
    assert values_of(",".join(f"'{v}'" for v in plain), "x") == tuple(plain)


@given(st.integers(-10**6, 10**6), st.integers(-300, 300), st.integers(1, 50))
def test_ranges_of_whole_numbers_are_pythons_with_the_last(first: int, length: int, step: int) -> None:
    last = first + length
    expected = range(first, last + 1, step) if length >= 0 else range(first, last - 1, -step)
    assert values_of(f"{first}..{last}..{step}", "x") == tuple(map(str, expected))


@given(st.decimals(-100, 100, places=3), st.integers(0, 50), st.decimals("0.001", 10, places=3))
def test_ranges_with_a_step_are_exact(first: Decimal, count: int, step: Decimal) -> None:
    last = first + step * count
    found = values_of(f"{first:f}..{last:f}..{step:f}", "x")
    assert [Decimal(v) for v in found] == [first + step * n for n in range(count + 1)]
    assert not any("e" in v or v.endswith(".") for v in found)


@given(st.text(max_size=30))
def test_any_text_is_values_or_refused(text: str) -> None:
    try:
        assert values_of(text, "x")
    except UsageError as error:
        assert error.code.startswith("sweep.")


def fill(words: list[str], **values: str) -> tuple[str, ...]:
    return filler(words, tuple(values), "the command")[0](tuple(values.values()))


def test_values_go_into_any_word() -> None:
    assert fill(["python", "t.py", "--lr={lr}", "{lr}-{seed}", "{{lr}}", "}}{{"], lr="0.1", seed="3") == (
        "python", "t.py", "--lr=0.1", "0.1-3", "{lr}", "}{")


@given(TEXT)
def test_a_value_is_one_word_as_it_is(value: str) -> None:
    assert fill(["{v}", "a{v}b{v}"], v=value) == (value, f"a{value}b{value}")


@given(st.lists(st.text(max_size=20), max_size=4), TEXT)
def test_doubled_braces_give_any_word_back(words: list[str], value: str) -> None:
    doubled = [word.replace("{", "{{").replace("}", "}}") for word in words]
    assert fill(doubled, v=value) == tuple(words)


def test_a_value_with_braces_is_not_looked_into() -> None:
    assert fill(["{a}{b}"], a="{b}", b="{a}") == ("{b}{a}",)


@pytest.mark.parametrize(("word", "code"), [
    ("{nope}", "sweep.unknown"), ("{lr", "sweep.brace"), ("lr}", "sweep.brace"), ("{}", "sweep.brace"),
    ("{0}", "sweep.brace"), ("{lr!r}", "sweep.brace"), ("{lr:.2f}", "sweep.brace"), ("{lr[0]}", "sweep.brace"),
    ("{lr.__class__}", "sweep.unknown"), ('{"a": 1}', "sweep.brace"),
])
def test_places_that_are_none(word: str, code: str) -> None:
    with pytest.raises(UsageError) as error:
        fill([word], lr="1")
    assert error.value.code == code


def test_points_have_argv_variables_and_names() -> None:
    made = points(grid(["lr=0.1,0.2", "model.size=s"]), Point("", "unet", argv=("t", "--lr", "{lr}")),
                  (("SIZE", "{model.size}"),))
    assert [(p.name, p.index, p.argv) for p in made] == [
        ("unet-0000", 0, ("t", "--lr", "0.1")), ("unet-0001", 1, ("t", "--lr", "0.2"))]
    assert made[1].parameters == (("lr", "0.2"), ("model.size", "s"))
    assert made[1].env == (("SIZE", "s"), ("BAREBOAT_PARAM_LR", "0.2"), ("BAREBOAT_PARAM_MODEL_SIZE", "s"))


def test_a_parameter_that_nothing_uses_is_an_error_by_name() -> None:
    with pytest.raises(UsageError) as error:
        points(grid(["lr=1", "seed=1..2"]), Point("", "x", argv=("t", "{lr}")))
    assert error.value.code == "sweep.unused" and error.value.where == "seed"
    shell = Point("", "x", argv=("sh", "-c", 'echo {lr} "$BAREBOAT_PARAM_SEED"'))
    used = points(grid(["lr=1", "seed=1..2"]), shell)
    assert used[1].argv == ("sh", "-c", 'echo 1 "$BAREBOAT_PARAM_SEED"')


def test_names_sort_as_points_do_and_variables_are_variables() -> None:
    assert [point_name("a", n) for n in (0, 7, 9999, 10000)] == ["a-0000", "a-0007", "a-9999", "a-10000"]
    assert variable("model.size-x") == "BAREBOAT_PARAM_MODEL_SIZE_X"
