"""HASYv2, handwritten symbols, from files of the user's."""

import csv
from pathlib import Path

from cl_sparse.data.image_data import ImageData, channel_statistics, make_image_data
from cl_sparse.data.image_folder import read_images
from cl_sparse.errors import UserError

FOLDER = Path("HASYv2", "classification-task", "fold-1")
SIZE = (32, 32)


def load_hasy(root: Path) -> ImageData:
    """Return the first of HASYv2's ten folds: ``<root>/HASYv2/classification-task/fold-1/{train,test}.csv``.

    Grey images of 32 × 32 pixels, 369 classes named as in LaTeX, in the order of their symbol numbers (Thoma 2017,
    "The HASYv2 dataset", arXiv 1701.08380).

    Raises:
        UserError: a file is absent, damaged or not of that data set.
    """
    train, test = (_by_symbol(root / FOLDER / f"{split}.csv") for split in ("train", "test"))
    if train.keys() != test.keys():
        odd = sorted(train.keys() ^ test.keys())[0]
        raise UserError(f"{root / FOLDER}: symbol {odd} is in one of train.csv and test.csv only")
    symbols = sorted(train)
    (x, y), test_images = (read_images([by[symbol][1] for symbol in symbols], "L", SIZE) for by in (train, test))
    mean, std = channel_statistics(x)
    names = [train[symbol][0] for symbol in symbols]
    return make_image_data("hasy", (x, y), test_images, names, "files", mean=mean, std=std)


def _by_symbol(path: Path) -> dict[int, tuple[str, list[Path]]]:
    """Return the name and the images of each symbol, by its number."""
    found: dict[int, tuple[str, list[Path]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                name_and_images = found.setdefault(int(row["symbol_id"]), (row["latex"], []))
                name_and_images[1].append(path.parent / row["path"])
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found. HASYv2 is not shipped: get HASYv2.tar.bz2 from zenodo.org/record/259444, and unpack "
            f"it into {path.parents[2]}"
        ) from None
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path}: cannot be read as HASYv2's path, symbol_id, latex, … ({' '.join(str(error).split())})"
        ) from error
    if not found:
        raise UserError(f"{path}: holds no rows of path, symbol_id, latex, …")
    return found
