import functools
import hashlib
import http.server
import pickle
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100

import cl_sparse.data.cifar as module
from benchmarks import iCIFAR10, iCIFAR100
from cl_sparse.data.datasets import forget_loaded, load_data
from cl_sparse.errors import UserError


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_official(root: Path, monkeypatch: pytest.MonkeyPatch, *, fine: bool = False) -> Path:
    """Write a small set in the official layout and make torchvision expect its checksums."""
    dataset = CIFAR100 if fine else CIFAR10
    classes = [f"class{i:02}" for i in range(100)] if fine else list(module.CIFAR10_CLASSES)
    folder = root / dataset.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lists: dict[str, list[list[str]]] = {"train_list": [], "test_list": []}
    for kind in lists:
        for name, _ in getattr(dataset, kind):
            n = len(classes) * 2
            labels = [i % len(classes) for i in range(n)]
            pixels = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
            content = {"data": pixels, "fine_labels" if fine else "labels": labels}
            (folder / name).write_bytes(pickle.dumps(content))
            lists[kind].append([name, md5(folder / name)])
        monkeypatch.setattr(dataset, kind, lists[kind])
    meta = dict(dataset.meta)
    (folder / meta["filename"]).write_bytes(pickle.dumps({meta["key"]: classes}))
    meta["md5"] = md5(folder / meta["filename"])
    monkeypatch.setattr(dataset, "meta", meta)
    return folder


def write_images(root: Path, names: tuple[str, ...] = module.CIFAR10_CLASSES) -> None:
    for split in ("train", "test"):
        for label, name in enumerate(names):
            folder = root / "cifar10" / split / name
            folder.mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (32, 32), (label, i, 100)).save(folder / f"{i}.png")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_loaded()
    for dataset in (CIFAR10, CIFAR100):
        monkeypatch.setattr(dataset, "url", "http://127.0.0.1:9/archive.tar.gz")


def test_official_archive_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_official(tmp_path, monkeypatch)
    write_images(tmp_path)
    benchmark = iCIFAR10(data_root=tmp_path)
    assert benchmark.source == "torchvision archive"
    assert benchmark.class_names == module.CIFAR10_CLASSES
    assert benchmark.task_classes == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert benchmark.tensors["train"].input_shape == (3, 32, 32)
    assert len(benchmark.tensors["train"]) == 100
    torchvision_set = CIFAR10(tmp_path)
    data = load_data("cifar10", tmp_path)
    assert torch.equal(data.x_train[3].permute(1, 2, 0), torch.from_numpy(torchvision_set.data[3]))


def test_cifar100_has_fine_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_official(tmp_path, monkeypatch, fine=True)
    benchmark = iCIFAR100(data_root=tmp_path)
    assert (benchmark.n_tasks, benchmark.n_outputs, benchmark.n_classes) == (10, 10, 100)


def test_the_image_folder_serves_without_the_archive(tmp_path: Path) -> None:
    write_images(tmp_path)
    benchmark = iCIFAR10(data_root=tmp_path)
    assert benchmark.source == "image folder"
    assert benchmark.class_names == module.CIFAR10_CLASSES == tuple(sorted(module.CIFAR10_CLASSES))
    data = load_data("cifar10", tmp_path)
    assert data.x_test[:, 0, 0, 0].tolist() == data.y_test.tolist()  # red is the class's official number
    assert data.mean == pytest.approx((125.307, 122.961, 113.8575))


def test_an_image_folder_with_other_classes_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path, (*module.CIFAR10_CLASSES[:9], "lorry"))
    with pytest.raises(UserError, match="extra or missing: lorry, truck"):
        load_data("cifar10", tmp_path)


def test_a_damaged_archive_is_no_reason_to_take_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_official(tmp_path, monkeypatch)
    write_images(tmp_path)
    victim = folder / "data_batch_3"
    victim.write_bytes(victim.read_bytes()[:-10])
    with pytest.raises(UserError, match="damaged") as caught:
        load_data("cifar10", tmp_path)
    assert str(caught.value).startswith(f"{victim}: ")
    victim.unlink()
    with pytest.raises(UserError, match=r"data_batch_3: missing"):
        load_data("cifar10", tmp_path)


def pack(folder: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))


def test_a_packed_archive_is_unpacked_and_a_damaged_one_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_official(tmp_path / "made", monkeypatch)
    root = tmp_path / "root"
    root.mkdir()
    archive = root / "cifar-10-python.tar.gz"
    pack(folder, archive, monkeypatch)
    right = archive.read_bytes()
    archive.write_bytes(right[:-100])
    with pytest.raises(UserError, match=r"cifar-10-python.tar.gz: damaged or incomplete"):
        load_data("cifar10", root)
    archive.write_bytes(right)
    assert len(load_data("cifar10", root).y_train) == 100


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "mirror"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz"
        monkeypatch.setattr(CIFAR10, "url", url)
        yield folder / "cifar-10-python.tar.gz"
        server.shutdown()
        thread.join()


def test_download_and_corrupted_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: Path) -> None:
    pack(write_official(tmp_path / "made", monkeypatch), mirror, monkeypatch)
    right = mirror.read_bytes()
    mirror.write_bytes(right[:500])
    root = tmp_path / "root"
    with pytest.raises(UserError, match=r"cifar10: not found in .* the download failed"):
        load_data("cifar10", root)
    assert not root.exists()
    mirror.write_bytes(right)
    assert load_data("cifar10", root).source == "torchvision archive"
    assert (root / "cifar-10-batches-py" / "test_batch").exists()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_absent_without_network(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"^{name}: not found in") as caught:
        load_data(name, tmp_path / "root")
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path / "root"), "--data-root", "CL_SPARSE_DATA", "{train,test}/<class>/"):
        assert part in message
    assert not (tmp_path / "root").exists()
