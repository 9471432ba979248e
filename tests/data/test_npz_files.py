import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import PermutedMNIST, RotatedMNIST, SplitDataset
from cl_sparse.data.datasets import load_data
from cl_sparse.errors import UserError

RNG = np.random.default_rng(0)


def arrays(**changes: object) -> dict[str, object]:
    content: dict[str, object] = {
        "x_train": RNG.normal(size=(12, 7)),
        "y_train": np.arange(12) % 4,
        "x_test": RNG.normal(size=(8, 7)),
        "y_test": np.arange(8) % 4,
    }
    return {key: value for key, value in {**content, **changes}.items() if value is not None}


def save(path: Path, **changes: object) -> Path:
    np.savez(path, **arrays(**changes))
    return path


def test_embeddings_are_used_as_they_are(tmp_path: Path) -> None:
    content = arrays()
    np.savez(tmp_path / "e.npz", **content)
    benchmark = SplitDataset(2, dataset="npz:e.npz", data_root=tmp_path)
    stream = benchmark.tensors["train"]
    assert (benchmark.source, benchmark.input_shape, benchmark.n_outputs) == ("npz file", (7,), 2)
    expected = torch.from_numpy(np.asarray(content["x_train"])[[2, 3, 6, 7, 10, 11]]).float()
    assert torch.equal(stream.batch(stream.task_ids(1))[0], expected)


def test_flat_data_are_permuted_feature_by_feature(tmp_path: Path) -> None:
    save(tmp_path / "e.npz")
    benchmark = PermutedMNIST(3, dataset="npz:e.npz", data_root=tmp_path)
    stream = benchmark.tensors["test"]
    plain, mixed = (stream.batch(stream.task_ids(t))[0] for t in (0, 2))
    assert torch.equal(mixed, plain[:, benchmark.permutations[2]])
    with pytest.raises(UserError, match="not square images"):
        RotatedMNIST(3, dataset="npz:e.npz", data_root=tmp_path)


def test_byte_images_are_normalised_and_labels_renumbered(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (20, 3, 5, 5), dtype=np.uint8)
    labels = np.array([10, 30] * 6)
    save(tmp_path / "i.npz", x_train=images[:12], x_test=images[12:], y_train=labels, y_test=labels[:8])
    data = load_data("npz:i.npz", tmp_path)
    assert data.class_names == ("10", "30")
    assert data.y_train.tolist() == [0, 1] * 6
    stream = SplitDataset(1, dataset="npz:i.npz", data_root=tmp_path).tensors["train"]
    x = stream.batch(stream.task_ids(0))[0]
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3), correction=0), torch.ones(3))


def test_grey_images_without_channel_and_class_names(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (12, 4, 4), dtype=np.uint8)
    save(tmp_path / "g.npz", x_train=x, x_test=x[:8], class_names=np.array(list("abcd")))
    data = load_data("npz:g.npz", tmp_path)
    assert data.x_train.shape == (12, 1, 4, 4)
    assert data.class_names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "lacks y_test"),
        ({"x_train": np.full((12, 7), np.nan)}, "x_train holds values that are not finite"),
        ({"x_test": np.zeros((8, 6))}, "x_train and x_test differ"),
        ({"x_train": np.zeros((12, 7), dtype=np.int64)}, "x_train has type int64"),
        ({"x_train": np.zeros((12, 0)), "x_test": np.zeros((8, 0))}, "x_train has shape"),
        ({"x_train": np.zeros(12)}, "x_train has shape"),
        ({"x_train": np.full((12, 7), 1e300)}, "x_train holds values that are .* too large for 32 bits"),
        ({"class_names": np.array("abcd")}, "class_names holds an array of shape .. for 4 classes"),
        ({"class_names": np.array([["a", "b"]] * 4)}, "class_names holds an array of shape .4, 2. for 4 classes"),
        ({"y_train": (np.arange(12) % 4).astype("m8[s]")}, "y_train has shape .* type timedelta64"),
        ({"y_train": np.arange(11) % 4}, "y_train has shape .11,. .* 12 whole numbers"),
        ({"y_train": np.arange(12) % 4 + 0.5}, "y_train has shape .* type float64"),
        ({"y_test": np.full(8, 9)}, "y_test holds 9, a class that y_train lacks"),
        ({"class_names": np.array(["a"])}, "class_names holds 1 names for 4 classes"),
        ({"x_train": np.array([{}] * 12, dtype=object)}, "cannot be read as an .npz file"),
    ],
)
def test_wrong_contents_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = save(tmp_path / "w.npz", **changes)
    with pytest.raises(UserError, match=message) as caught:
        load_data("npz:w.npz", tmp_path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[200:220] = b"\xff" * 20
    np.save(tmp_path / "array.npy", np.zeros(3))
    contents = {"half": whole[: len(whole) // 2], "empty": b"", "text": b"<html>", "flipped": bytes(flipped)}
    contents["single"] = (tmp_path / "array.npy").read_bytes()
    contents["pickled"] = b"\x80\x04N."
    for name, data in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(data)
        with pytest.raises(UserError) as caught:
            load_data(f"npz:{name}.npz", tmp_path)
        assert str(caught.value).startswith(f"{path}: "), name
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"none\.npz: not found"):
        load_data("npz:none.npz", tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        load_data("npz:.", tmp_path)


def member(header: bytes, body: bytes = bytes(8)) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


FLOATS = b"{'descr': '<f8', 'fortran_order': False, 'shape': "


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array", "cannot be read as an .npz file"),
        (b"", "cannot be read as an .npz file"),
        (member(FLOATS + b"(999999999999999, 999)}"), "x_train is damaged: holds 8 bytes where its header promises"),
        (member(FLOATS + b"(-1,)}"), "x_train is damaged: holds 8 bytes where its header promises -8"),
        (member(FLOATS + b"((((((((" * 40), "cannot be read as an .npz file"),
        (member(b"\xff\x00{[" * 9), "cannot be read as an .npz file"),
        (member(b"9" * 60_000), "cannot be read as an .npz file"),
        (member(FLOATS.replace(b"<f8", b"|O") + b"(1,)}"), "cannot be read as an .npz file"),
    ],
)
def test_a_member_that_is_no_array_or_lies_about_its_size(tmp_path: Path, content: bytes, message: str) -> None:
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        for key in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{key}.npy", content)
    with pytest.raises(UserError, match=rf"m\.npz: {message}") as caught:
        load_data("npz:m.npz", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_corrupt_compression(tmp_path: Path, method: int) -> None:
    source = save(tmp_path / "whole.npz")
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(tmp_path / "c.npz", "w", method) as archive:
        for name in whole.namelist():
            archive.writestr(name, whole.read(name))
    data = bytearray((tmp_path / "c.npz").read_bytes())
    data[60:90] = b"\xff" * 30
    (tmp_path / "c.npz").write_bytes(data)
    with pytest.raises(UserError, match=r"c\.npz: cannot be read as an \.npz file"):
        load_data("npz:c.npz", tmp_path)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.npz")
    with pytest.raises(UserError, match=r"p\.npz: cannot be read .* \(not a regular file\)"):
        load_data("npz:p.npz", tmp_path)
