import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import SplitDataset
from cl_sparse.data.datasets import load_data
from cl_sparse.errors import UserError

CLASSES = ("ant", "bee", "cow", "dog")


def make_folder(folder: Path, *, mode: str = "RGB", suffix: str = ".png", size: tuple[int, int] = (6, 4)) -> Path:
    """Write images whose every pixel names class and place: class c, file i has the value 40 c + i."""
    for split, n in (("train", 5), ("test", 3)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                Image.new(mode, size, 40 * label + i if mode == "L" else (40 * label + i, 9, 200)).save(
                    folder / split / name / f"{i}{suffix}"
                )
    return folder


def test_classes_are_sorted_and_pixels_arrive(tmp_path: Path) -> None:
    make_folder(tmp_path / "zoo")
    (tmp_path / "zoo" / "train" / "ant" / "notes.txt").write_text("no image")
    (tmp_path / "zoo" / "train" / ".hidden").mkdir()
    data = load_data("image_folder:zoo", tmp_path)
    assert data.class_names == CLASSES
    assert (data.x_train.shape, data.x_test.shape) == ((20, 3, 4, 6), (12, 3, 4, 6))
    assert data.y_train.tolist() == [c for c in range(4) for _ in range(5)]
    assert data.x_train[:, 0, 0, 0].tolist() == [40 * c + i for c in range(4) for i in range(5)]
    assert (data.x_train[:, 1] == 9).all()
    assert data.source == "image folder"
    assert data.mean[1:] == (9.0, 200.0)
    assert data.std[1:] == (1.0, 1.0)  # constant channels


def test_an_absolute_path_and_a_stream_of_one_s_own(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "zoo", suffix=".jpg")
    benchmark = SplitDataset(2, "class", dataset=f"image_folder:{folder}", data_root=tmp_path / "elsewhere")
    assert benchmark.task_classes == [[0, 1], [2, 3]]
    assert benchmark.input_shape == (3, 4, 6)
    assert list(benchmark.test_stream[1].dataset.targets) == [2] * 3 + [3] * 3


def test_grey_images_keep_one_channel(tmp_path: Path) -> None:
    make_folder(tmp_path / "grey", mode="L")
    assert load_data("image_folder:grey", tmp_path).x_test.shape == (12, 1, 4, 6)


def test_more_images_than_one_job_decodes_arrive_in_order(tmp_path: Path) -> None:
    make_folder(tmp_path / "many", size=(2, 2))
    for i in range(600):
        shutil.copyfile(tmp_path / f"many/train/ant/{i % 5}.png", tmp_path / f"many/train/ant/x{i:04}.png")
    data = load_data("image_folder:many", tmp_path)
    assert data.x_train[5:605, 0, 0, 0].tolist() == [i % 5 for i in range(600)]
    assert data.y_train[:605].sum() == 0


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for i, (suffix, damage) in enumerate(
        [
            (".jpg", lambda b: b[: len(b) // 2]),
            (".jpg", lambda b: b[:-100]),
            (".png", lambda b: b[: len(b) // 2]),
            (".jpg", lambda _: b""),
            (".png", lambda _: b"<html>"),
        ]
    ):
        folder = make_folder(tmp_path / str(i), suffix=suffix, size=(32, 32))
        victim = folder / "test" / "cow" / f"1{suffix}"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(victim)
        victim.write_bytes(damage(victim.read_bytes()))
        with pytest.raises(UserError, match="cannot be read as an image") as caught:
            load_data(f"image_folder:{folder}", tmp_path)
        assert str(victim) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    def error(name: str) -> str:
        with pytest.raises(UserError) as caught:
            load_data(f"image_folder:{name}", tmp_path)
        return str(caught.value)

    assert str(tmp_path / "none" / "train") in error("none")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    assert "is empty" in error("empty")
    folder = make_folder(tmp_path / "classes")
    shutil.rmtree(folder / "test" / "bee")
    assert "extra or missing: bee" in error("classes")
    folder = make_folder(tmp_path / "images")
    for path in (folder / "test" / "dog").iterdir():
        path.unlink()
    assert "holds no images" in error("images")
    folder = make_folder(tmp_path / "sizes")
    Image.fromarray(np.zeros((7, 5, 3), dtype=np.uint8)).save(folder / "train" / "cow" / "3.png")
    assert error("sizes").endswith("3.png: is 5x7 pixels, the first image is 6x4")


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "zoo")
    first = load_data(f"image_folder:{folder}", tmp_path)
    again = load_data("image_folder:zoo", tmp_path)
    assert first.fingerprint == again.fingerprint
    assert torch.equal(first.x_train, again.x_train)


def test_a_pipe_among_the_images_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        os.mkfifo(tmp_path / split / "cat" / "1.png")
    with pytest.raises(UserError, match=r"train/cat/1\.png: cannot be read as an image \(not a regular file\)"):
        load_data(f"image_folder:{tmp_path}")
