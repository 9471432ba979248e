"""UCI's "Census-Income (KDD)", from files of the user's: numbers and words about a person, and the income."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from cl_sparse.data.image_data import ImageData, make_image_data
from cl_sparse.errors import UserError

FOLDER, TRAIN, TEST = "census-income", "census-income.data", "census-income.test"
COLUMNS = 42  # 41 of a person, and the income
NUMBERS = (0, 5, 16, 17, 18, 30, 39)  # age, wage per hour, capital gains and losses, dividends, persons, weeks worked
WEIGHT = 24  # how many people the row stands for: not of the person
INCOMES = ("- 50000.", "50000+.")


def load_census_income(root: Path) -> ImageData:
    """Return the data set of ``<root>/census-income/census-income.data`` (training) and ``.test``.

    Inputs: the seven columns that are numbers, standardised by the training rows, and of each other column one input
    for each word that the training rows have in it, 1 where it is that word; a word that is new at test has none. The
    column of instance weights is left out. Two classes: an income up to 50,000, and above.

    Raises:
        UserError: a file is absent, or a line of it is no row of that data set.
    """
    train, test = (_rows(root / FOLDER / name) for name in (TRAIN, TEST))
    words = {column: sorted({row[column] for row in train}) for column in range(COLUMNS - 1) if _is_word(column)}
    numbers = _numbers(train)
    mean, std = numbers.mean(0), numbers.std(0, correction=0)
    std[std == 0] = 1.0

    def split(rows: Sequence[list[str]], values: Tensor) -> tuple[Tensor, Tensor]:
        parts = [(values - mean) / std, *(_one_hot(rows, column, known) for column, known in words.items())]
        return torch.cat(parts, dim=1).float(), torch.tensor([INCOMES.index(row[-1]) for row in rows])

    names = ("up to 50,000", "above 50,000")
    return make_image_data("census_income", split(train, numbers), split(test, _numbers(test)), names, "files")


def _is_word(column: int) -> bool:
    return column not in NUMBERS and column != WEIGHT


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="ascii", newline="") as file:
            rows = [row for row in csv.reader(file, skipinitialspace=True) if row]
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found. Census-Income is not shipped: get {TRAIN} and {TEST} of UCI's data set 117, "
            f'"Census-Income (KDD)", and put them into {path.parent}'
        ) from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != COLUMNS or row[-1].strip() not in INCOMES:
            raise UserError(
                f"{path}: row {number} has {len(row)} columns and ends in {row[-1][:20]!r}; {COLUMNS}, the last one "
                f"{' or '.join(map(repr, INCOMES))}, are expected"
            )
        row[-1] = row[-1].strip()
    if not rows:
        raise UserError(f"{path}: is empty")
    return rows


def _numbers(rows: Sequence[list[str]]) -> Tensor:
    try:
        values = torch.tensor([[float(row[column]) for column in NUMBERS] for row in rows], dtype=torch.float64)
    except ValueError as error:
        raise UserError(f"census_income: columns {NUMBERS} are to be numbers ({error})") from error
    if not bool(values.isfinite().all()):
        raise UserError(f"census_income: columns {NUMBERS} are to be finite numbers")
    return values


def _one_hot(rows: Sequence[list[str]], column: int, known: Sequence[str]) -> Tensor:
    place = {word: number for number, word in enumerate(known)}
    new = len(known)  # the place of all words that are not known
    places = torch.tensor([place.get(words[column], new) for words in rows])
    return one_hot(places, new + 1)[:, :new].float()
