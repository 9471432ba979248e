"""The table of experiments, for the terminal and for Markdown."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cl_sparse.report import numbers
from cl_sparse.report.rows import Row

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True)
class Column:
    """A column: its head and what it shows of a row.

    ``terminal`` columns are printed; where the terminal is narrow, the highest ``drop`` goes first, and 0 never goes.
    """

    head: str
    cell: Callable[[Row], str]
    text: bool = False
    terminal: bool = True
    drop: int = 0


COLUMNS = (
    Column("experiment", lambda row: row.experiment, text=True),
    Column("benchmark", lambda row: row.benchmark, text=True, terminal=False),
    Column("strategy", lambda row: row.strategy, text=True, terminal=False),
    Column("scenario", lambda row: row.scenario, text=True),
    Column("heads", lambda row: row.heads, text=True, terminal=False),
    Column("task info\ntrain/test", lambda row: task_info(row), text=True, drop=1),
    Column("ACC", lambda row: numbers.spread(row.acc)),
    Column("BWT", lambda row: numbers.spread(row.bwt)),
    Column("forgetting", lambda row: numbers.spread(row.forgetting)),
    Column("seeds", lambda row: seeds(row), drop=4),
    Column("density", lambda row: numbers.share(row.density), drop=2),
    Column("active %", lambda row: numbers.percent(row.active_percent), drop=3),
    Column("live synapses", lambda row: numbers.count(row.live_synapses), terminal=False),
    Column("parameters", lambda row: numbers.count(row.parameters), terminal=False),
    Column("carried bytes", lambda row: numbers.count(row.carried_bytes), terminal=False),
    Column("epochs", lambda row: row.epochs, terminal=False),
    Column("steps", lambda row: numbers.count(row.steps), terminal=False),
    Column("seconds", lambda row: numbers.seconds(row.seconds), drop=5),
)


def print_table(rows: Sequence[Row], console: "Console") -> None:
    """Print the rows. Numbers are never cut: a narrow terminal loses columns (and is told so), a pipe gets all of them.

    Args:
        rows: the experiments; nothing is printed for none.
        console: where to.
    """
    if not rows:
        return
    same_seeds = len({seeds(row) for row in rows}) == 1
    columns = [column for column in COLUMNS if column.terminal and not (column.head == "seeds" and same_seeds)]
    left_out: list[str] = []
    while console.is_terminal and _width(columns, rows, _NAME_WIDTH) > console.width and any(c.drop for c in columns):
        least = max(columns, key=lambda column: column.drop)
        columns.remove(least)
        left_out.append(least.head.replace("\n", " "))
    table = _table(columns, rows)
    if not console.is_terminal or _width(columns, rows, _NAME_WIDTH) > console.width:
        table.width = _width(columns, rows)
    console.print(table, crop=False)
    for note in _notes(rows, left_out):
        console.print(note, style="dim", highlight=False, soft_wrap=True)


def markdown_table(rows: Iterable[Row]) -> str:
    """All columns of all rows as a Markdown table, with a line break at the end."""
    return markdown([column.head for column in COLUMNS], [[c.cell(row) for c in COLUMNS] for row in rows], _ALIGN)


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]], right: Sequence[bool]) -> str:
    """A Markdown table.

    Args:
        heads: the first line.
        lines: the cells, line by line.
        right: which columns are set flush right.
    """
    heads = [head.replace("\n", " ") for head in heads]
    rule = ["--:" if flush else "---" for flush in right]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *escaped))


def task_info(row: Row) -> str:
    """What the learner is told about the task, in training/at test."""
    return f"{row.task_info_train}/{row.task_info_test}"


def seeds(row: Row) -> str:
    """3, or "3 (1 stopped)"."""
    return f"{row.n_seeds} ({row.stopped} stopped)" if row.stopped else f"{row.n_seeds}"


_ALIGN = [not column.text for column in COLUMNS]
_GAP = 2  # between two columns
_NAME_WIDTH = 24  # a longer experiment's name is folded, if it must be


def _notes(rows: Sequence[Row], left_out: Sequence[str]) -> list[str]:
    counts = sorted({row.n_seeds for row in rows})
    notes = []
    if counts[-1] > 1:
        several = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        notes.append(f"mean ± standard deviation over {several} seeds")
    by_r2 = [row.experiment for row in rows if row.score == "r2"]
    if by_r2:
        notes.append(f"ACC, BWT and forgetting are of R², not of accuracies: {', '.join(by_r2)}")
    if left_out:
        notes.append(f"left out for want of width: {', '.join(left_out)}")
    return notes


def _is_name(column: Column) -> bool:
    return column is COLUMNS[0]


def _column_width(column: Column, rows: Sequence[Row]) -> int:
    texts = [*column.head.split("\n"), *(column.cell(row) for row in rows)]
    return max(map(len, texts))


def _width(columns: Sequence[Column], rows: Sequence[Row], longest_name: int = sys.maxsize) -> int:
    limits = (longest_name if _is_name(column) else sys.maxsize for column in columns)
    widths = (min(_column_width(column, rows), limit) for column, limit in zip(columns, limits, strict=True))
    return sum(widths) + _GAP * (len(columns) - 1)


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        width = _column_width(column, rows)
        table.add_column(
            Text(column.head),
            justify="left" if column.text else "right",
            no_wrap=not _is_name(column),
            overflow="fold",
            min_width=min(width, _NAME_WIDTH) if _is_name(column) else width,
        )
    for row in rows:
        table.add_row(*(Text(column.cell(row)) for column in columns))
    return table
