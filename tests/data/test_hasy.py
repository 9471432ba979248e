import csv

import numpy as np
import pytest
from PIL import Image

from cl_sparse.data import load_data
from cl_sparse.data.hasy import load_hasy
from cl_sparse.errors import UserError

HEAD = ("path", "symbol_id", "latex", "user_id")


def write(path, rows, head=HEAD):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])


@pytest.fixture
def root(tmp_path):
    fold = tmp_path / "HASYv2" / "classification-task" / "fold-1"
    images = tmp_path / "HASYv2" / "hasy-data"
    fold.mkdir(parents=True)
    images.mkdir()
    for number in range(5):
        Image.fromarray(np.full((32, 32), 10 * number, np.uint8)).save(images / f"v2-{number}.png")
    rows = [(f"../../hasy-data/v2-{n}.png", 31 if n % 2 else 1000, "A" if n % 2 else r"\alpha", 7) for n in range(5)]
    write(fold / "train.csv", rows[:3])
    write(fold / "test.csv", rows[3:])
    return tmp_path


def test_symbols_are_numbered_in_the_order_of_their_ids(root):
    data = load_data("hasy", root)
    assert data.class_names == ("A", r"\alpha")
    assert data.y_train.tolist() == [0, 1, 1]
    assert data.y_test.tolist() == [0, 1]
    assert data.x_train.shape == (3, 1, 32, 32)
    assert [int(image.max()) for image in data.x_train] == [10, 0, 20]
    assert [int(image.max()) for image in data.x_test] == [30, 40]


def test_absent_and_foreign_files_are_named(root, tmp_path):
    with pytest.raises(
        UserError, match=r"train\.csv: not found.*zenodo\.org/record/259444, and unpack it into .*HASYv2"
    ):
        load_hasy(tmp_path / "nowhere")
    fold = root / "HASYv2" / "classification-task" / "fold-1"
    write(fold / "test.csv", [("../../hasy-data/v2-3.png", 31, "A", 7)])
    with pytest.raises(UserError, match=r"symbol 1000 is in one of train\.csv and test\.csv only"):
        load_hasy(root)
    write(fold / "test.csv", [("a.png", "thirty", "A", 7)])
    with pytest.raises(UserError, match=r"test\.csv: cannot be read as HASYv2's path, symbol_id"):
        load_hasy(root)
    write(fold / "test.csv", [("a.png", 31)], head=("path", "number"))
    with pytest.raises(UserError, match=r"test\.csv: cannot be read as HASYv2's path, symbol_id"):
        load_hasy(root)
    write(fold / "test.csv", [])
    with pytest.raises(UserError, match="holds no rows"):
        load_hasy(root)
    write(fold / "test.csv", [("../../hasy-data/no.png", 31, "A", 7), ("../../hasy-data/v2-4.png", 1000, "a", 7)])
    with pytest.raises(UserError, match=r"no\.png: cannot be read as an image"):
        load_hasy(root)
