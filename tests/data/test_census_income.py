import pytest

from cl_sparse.data.census_income import COLUMNS, NUMBERS, WEIGHT, load_census_income
from cl_sparse.errors import UserError


def row(age, word, income):
    cells = [" Not in universe"] * (COLUMNS - 1)
    for column in (*NUMBERS, WEIGHT):
        cells[column] = " 0"
    cells[0], cells[1] = str(age), f" {word}"
    return ",".join([*cells, f" {income}"])


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "census-income"
    folder.mkdir()
    train = [row(20, "Private", "- 50000."), row(40, "Federal government", "50000+."), row(60, "Private", "50000+.")]
    (folder / "census-income.data").write_text("\n".join(train) + "\n")
    (folder / "census-income.test").write_text(row(40, "Never worked", "- 50000.") + "\n")
    return tmp_path


def test_numbers_are_standardised_and_words_become_bits(files):
    data = load_census_income(files)
    words = COLUMNS - 1 - len(NUMBERS) - 1
    assert data.x_train.shape == (3, len(NUMBERS) + words + 1)  # one column has two words
    assert data.y_train.tolist() == [0, 1, 1]
    assert data.x_train[:, 0].tolist() == pytest.approx([-1.2247449, 0.0, 1.2247449])
    assert not data.x_train[:, 1 : len(NUMBERS)].any()
    assert data.x_train[:, len(NUMBERS) : len(NUMBERS) + 2].tolist() == [[0, 1], [1, 0], [0, 1]]
    assert data.x_test[0, len(NUMBERS) : len(NUMBERS) + 2].tolist() == [0, 0]
    assert data.x_test[0, 0] == 0
    assert data.y_test.tolist() == [0]


def test_absent_and_foreign_files_are_named(files, tmp_path):
    with pytest.raises(UserError, match=r"census-income\.data: not found.*UCI's data set 117"):
        load_census_income(tmp_path / "nowhere")
    path = files / "census-income" / "census-income.test"
    path.write_text("1, 2\n")
    with pytest.raises(UserError, match=r"test: row 1 has 2 columns and ends in '2'; 42"):
        load_census_income(files)
    path.write_text(row("old", "Private", "50000+."))
    with pytest.raises(UserError, match="are to be numbers"):
        load_census_income(files)
    path.write_text("")
    with pytest.raises(UserError, match="is empty"):
        load_census_income(files)
