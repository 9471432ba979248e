import functools
import gzip
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torchvision.datasets import MNIST, FashionMNIST

import cl_sparse.data.mnist as module
from benchmarks import PermutedMNIST, SplitMNIST
from cl_sparse.data.datasets import forget_loaded, load_data
from cl_sparse.errors import UserError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(values: torch.Tensor) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.to(torch.uint8).numpy().tobytes()


def small_mnist(seed: int = 0) -> dict[str, bytes]:
    generator = torch.Generator().manual_seed(seed)
    contents = {}
    for split, n in (("train", 60), ("t10k", 20)):
        contents[f"{split}-images-idx3-ubyte"] = idx(torch.randint(0, 256, (n, 28, 28), generator=generator))
        contents[f"{split}-labels-idx1-ubyte"] = idx(torch.arange(n) % 10)
    return contents


def write(folder: Path, contents: dict[str, bytes], *, compressed: bool = False) -> None:
    folder.mkdir(parents=True)
    for name, data in contents.items():
        (folder / (f"{name}.gz" if compressed else name)).write_bytes(gzip.compress(data) if compressed else data)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_loaded()
    monkeypatch.delenv("CL_SPARSE_DATA", raising=False)
    monkeypatch.setattr(module, "DEBIAN_FASHION", tmp_path / "debian")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "mirror"
    write(folder, small_mnist(), compressed=True)
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def point_to(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    resources = [(f"{n}.gz", hashlib.md5((folder / f"{n}.gz").read_bytes()).hexdigest()) for n in FILES]
    for dataset in (MNIST, FashionMNIST):
        monkeypatch.setattr(dataset, "mirrors", [url])
        monkeypatch.setattr(dataset, "resources", resources)


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for dataset in (MNIST, FashionMNIST):
        monkeypatch.setattr(dataset, "mirrors", ["http://127.0.0.1:9/"])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_files_in_place_are_read(tmp_path: Path, name: str, folder: str, compressed: bool) -> None:
    write(tmp_path / folder / "raw", small_mnist(), compressed=compressed)
    data = load_data(name, tmp_path)
    assert (data.x_train.shape, data.x_train.dtype) == ((60, 1, 28, 28), torch.uint8)
    assert data.y_test.tolist() == [i % 10 for i in range(20)]
    assert data.source == "torchvision archive"
    assert len(data.class_names) == 10
    assert load_data(name, tmp_path).x_train is data.x_train  # read once


def test_the_environment_names_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "MNIST" / "raw", small_mnist())
    monkeypatch.setenv("CL_SPARSE_DATA", str(tmp_path))
    assert len(load_data("mnist").y_train) == 60


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path / str(seed) / "MNIST" / "raw", small_mnist(seed))
    first, other = (load_data("mnist", tmp_path / str(seed)).fingerprint for seed in (0, 1))
    assert first != other
    forget_loaded()
    assert load_data("mnist", tmp_path / "0").fingerprint == first
    assert len(first) == 16


def test_fashion_from_the_debian_package(tmp_path: Path) -> None:
    write(tmp_path / "debian", small_mnist(), compressed=True)
    data = load_data("fashion_mnist", tmp_path / "root")
    assert data.source == "Debian dataset-fashion-mnist"
    assert data.class_names[9] == "Ankle boot"
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    raw = tmp_path / "MNIST" / "raw"
    write(raw, small_mnist())
    (raw / name).write_bytes((raw / name).read_bytes()[:-5])
    with pytest.raises(UserError, match="damaged") as caught:
        SplitMNIST(data_root=tmp_path)
    assert str(raw / name) in str(caught.value)


def test_images_without_their_labels(tmp_path: Path) -> None:
    contents = small_mnist()
    contents["train-labels-idx1-ubyte"] = contents["t10k-labels-idx1-ubyte"]
    write(tmp_path / "MNIST" / "raw", contents)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte: .* do not fit"):
        load_data("mnist", tmp_path)


@pytest.mark.parametrize(("name", "other"), [("mnist", ""), ("fashion_mnist", "Debian package dataset-fashion-mnist")])
def test_absent_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, other: str) -> None:
    no_network(monkeypatch)
    root = tmp_path / "some" / "root"
    with pytest.raises(UserError, match="not found in") as caught:
        load_data(name, root)
    message = str(caught.value)
    assert "\n" not in message
    for part in (name, str(root), "--data-root", "CL_SPARSE_DATA", "machine with network", other):
        assert part in message
    assert not (tmp_path / "some").exists()


def test_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: tuple[Path, str]) -> None:
    point_to(monkeypatch, *mirror)
    root = tmp_path / "root"
    for name, folder in (("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")):
        assert len(load_data(name, root).y_train) == 60
        assert set(FILES) <= {p.name for p in (root / folder / "raw").iterdir()}
    no_network(monkeypatch)
    forget_loaded()
    assert PermutedMNIST(2, data_root=root).source == "torchvision archive"


def test_a_corrupted_download_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: tuple[Path, str]
) -> None:
    folder, url = mirror
    point_to(monkeypatch, folder, url)
    broken = folder / f"{FILES[2]}.gz"
    right = broken.read_bytes()
    broken.write_bytes(right[: len(right) // 2])
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(UserError, match=r"mnist: not found in .*corrupted") as caught:
        load_data("mnist", root)
    assert "\n" not in str(caught.value)
    assert list(root.iterdir()) == []
    broken.write_bytes(right)
    assert len(load_data("mnist", root).y_test) == 20


def test_a_partly_present_set_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: tuple[Path, str]
) -> None:
    point_to(monkeypatch, *mirror)
    raw = tmp_path / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / FILES[0]).write_bytes(b"half")
    assert len(load_data("mnist", tmp_path / "root").y_train) == 60


def test_a_root_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_network(monkeypatch)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="mnist: not found in"):
        load_data("mnist", tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_root(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    write(locked / "MNIST" / "raw", small_mnist())
    locked.chmod(0)
    try:
        with pytest.raises(UserError, match="cannot be read"):
            load_data("mnist", locked)
    finally:
        locked.chmod(0o700)


def test_test_images_of_another_size(tmp_path: Path) -> None:
    contents = small_mnist()
    n_test = len(contents["t10k-labels-idx1-ubyte"]) - 8
    contents["t10k-images-idx3-ubyte"] = idx(torch.zeros(n_test, 27, 27))
    write(tmp_path / "MNIST" / "raw", contents)
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte: images of 27x27 pixels, where those of train-images"):
        load_data("mnist", tmp_path)
