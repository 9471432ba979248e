import io
import re

import pytest
from rich.console import Console

from cl_sparse.metrics import MeanStd
from cl_sparse.report import markdown_table, numbers, print_table, rows_of

NAN = float("nan")


def printed(rows, width=None):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=width is not None, width=width or 80, color_system=None)
    print_table(rows, console)
    return stream.getvalue()


@pytest.fixture
def rows(result):
    names = ["permuted_mnist_sparse_cumul", "dense", "x" * 60]
    return rows_of(result(name, seed, joint=name.endswith("cumul")) for name in names for seed in range(3))


def test_a_pipe_gets_every_column_and_every_digit(rows):
    text = printed(rows)
    head = text.split("───")[0]
    for word in ("experiment", "scenario", "task info", "ACC", "BWT", "forgetting", "density", "active %", "seconds"):
        assert word in head
    assert "x" * 60 in text
    assert "…" not in text
    assert len(re.findall(r"-?\.\d{3} ± \.\d{3}", text)) == 3 + 2 + 2
    assert "mean ± standard deviation over 3 seeds" in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 250])
def test_a_terminal_never_cuts_a_number(rows, width):
    text = printed(rows, width)
    assert len(re.findall(r"-?\.\d{3} ± \.\d{3}", text)) == 3 + 2 + 2
    assert "…" not in text
    if width >= 80:
        assert max(len(line.rstrip()) for line in text.splitlines() if "left out" not in line) <= width
    assert ("left out for want of width" in text) == ("seconds" not in text.split("───")[0])


def test_120_columns_hold_the_whole_table(rows):
    assert "left out" not in printed(rows, 120)


def test_seeds_have_a_column_where_they_differ(result):
    accs = [[NAN]]
    runs = [result("a", 0), result("a", 1), result("b", 0), result("c", 0, accs=accs, stopped="NaN at step 3")]
    text = printed(rows_of(runs))
    assert "seeds" in text.split("───")[0]
    assert "1 (1 stopped)" in text
    assert "over 1 to 2 seeds" in text


def test_a_single_run_shows_no_spread(result):
    text = printed(rows_of([result()]))
    assert "±" not in text


def test_no_rows_print_nothing():
    assert printed([]) == ""


def test_a_markup_like_name_is_printed_as_it_is(result):
    assert "[bold]x[/bold]" in printed(rows_of([result("[bold]x[/bold]")]))


def test_markdown(rows):
    lines = markdown_table(rows).splitlines()
    assert len(lines) == 2 + 3
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("| experiment | benchmark | strategy | scenario | heads | task info train/test | ACC |")
    assert "| – | – |" in lines[2]


def test_a_bar_in_a_name_does_not_break_the_markdown(result):
    lines = markdown_table(rows_of([result("a|b")])).splitlines()
    assert "a\\|b" in lines[2]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8664, ".866"),
        (1.0, "1.000"),
        (0.9999, "1.000"),
        (-0.1234, "-.123"),
        (0.0, ".000"),
        (-0.0001, ".000"),
        (NAN, "–"),
    ],
)
def test_accuracy(value, text):
    assert numbers.accuracy(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.012, "+.012"), (-0.012, "-.012"), (0.0, ".000"), (NAN, "–")])
def test_signed(value, text):
    assert numbers.signed(value) == text


def test_spread():
    assert numbers.spread(MeanStd(0.8664, 0.0123)) == ".866 ± .012"
    assert numbers.spread(MeanStd(0.8664, NAN)) == ".866"
    assert numbers.spread(MeanStd(NAN, NAN)) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (950, "950"),
        (999.6, "1.00k"),
        (51_234, "51.2k"),
        (317_600, "318k"),
        (999_900, "1.00M"),
        (3_181_010, "3.18M"),
        (99_960, "100k"),
        (2.5e10, "25.0G"),
        (NAN, "–"),
    ],
)
def test_count(value, text):
    assert numbers.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(54.321, "54.3"), (5.4, "5.40"), (0.05, ".050"), (100.0, "100.0"), (NAN, "–")]
)
def test_percent(value, text):
    assert numbers.percent(value) == text


@pytest.mark.parametrize(("value", "text"), [(1.0, "1"), (0.1, ".100"), (0.0125, ".0125"), (0.0, "0"), (NAN, "–")])
def test_share(value, text):
    assert numbers.share(value) == text


@pytest.mark.parametrize(("value", "text"), [(8.34, "8.3"), (244.7, "245"), (NAN, "–")])
def test_seconds(value, text):
    assert numbers.seconds(value) == text
