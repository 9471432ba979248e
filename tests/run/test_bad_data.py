"""Bad data, devices, checkpoints and results, each in a process of its own: what a config alone cannot tell."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cl_sparse.config.experiments import load_experiments
from cl_sparse.errors import UserError
from cl_sparse.run.build import build_benchmark, build_model
from cl_sparse.run.dry_run import estimate
from tests.commands import refusal, run

SPLIT = {"benchmark": "SplitDataset", "num_batch": 2, "hidden_units": 8}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads fail at once, on connected machines too."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("CL_SPARSE_DATA", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)


def settings(**changes: object) -> list[str]:
    return ["--name", "quickstart_dense", "--set", *(f"{k}={v}" for k, v in {**SPLIT, **changes}.items())]


def test_absent_data(tmp_path: Path) -> None:
    line = refusal(tmp_path, "--name", "MLP_1Layer", "--data-root", "nowhere")
    assert "mnist" in line
    assert "nowhere" in line
    assert "CL_SPARSE_DATA" in line


@pytest.mark.parametrize("state", ["absent", "truncated", "too few for a subset", "no such npz", "a huge net"])
def test_data_are_refused_before_avalanche_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    (tmp_path / "avalanche.py").write_text("raise SystemExit('Avalanche is imported')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    if state == "truncated":
        raw = tmp_path / "data" / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            (raw / f"{name}-ubyte").write_bytes(b"\0\0\x08\x03" + bytes(30))
    arguments, message = {
        "absent": (["--name", "MLP_1Layer"], "mnist: not found in"),
        "truncated": (["--name", "MLP_1Layer"], "train-images-idx3-ubyte: "),
        "too few for a subset": (["--set", "train_subset=100000"], "--set train_subset: "),
        "a huge net": (
            ["--set", "hidden_units=1000000", "hidden_layers=3"],
            "--set hidden_units: the hidden layers' weights",
        ),
        "no such npz": (settings(dataset="npz:none.npz"), "none.npz"),
    }[state]
    assert message in refusal(tmp_path, *arguments)


def test_a_data_root_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    line = refusal(tmp_path, "--name", "MLP_1Layer", "--data-root", "file/data")
    assert "file" in line


def test_truncated_mnist(tmp_path: Path) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "t10k"):
        (raw / f"{split}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + bytes(3) + b"\x05" + bytes(20))
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + bytes(3) + b"\x05" + bytes(5))
    assert "-images-idx3-ubyte" in refusal(tmp_path, "--name", "MLP_1Layer")


def test_a_truncated_picture(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / "pets" / split / name
            folder.mkdir(parents=True)
            Image.fromarray(np.full((16, 16, 3), 99, dtype=np.uint8)).save(folder / "1.jpg")
    broken = tmp_path / "data" / "pets" / "train" / "dog" / "1.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    assert "train/dog/1.jpg" in refusal(tmp_path, *settings(dataset="image_folder:pets", num_batch=1))


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A folder with a small npz of flat features, 4 classes."""
    (tmp_path / "data").mkdir()
    y = np.arange(40) % 4
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    np.savez(tmp_path / "data" / "flat.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return tmp_path


def test_a_broken_npz(flat: Path) -> None:
    path = flat / "data" / "flat.npz"
    path.write_bytes(path.read_bytes()[:200])
    assert "flat.npz" in refusal(flat, *settings(dataset="npz:flat.npz"))


def test_a_cnn_on_flat_data(flat: Path) -> None:
    assert "CNN" in refusal(flat, *settings(dataset="npz:flat.npz", cnn="true"))


def test_too_many_tasks_for_the_users_own_data(flat: Path) -> None:
    assert "num_batch" in refusal(flat, *settings(dataset="npz:flat.npz", num_batch=3))


def test_a_task_without_test_samples(flat: Path) -> None:
    y = np.arange(40) % 4
    x = np.zeros((40, 6), dtype=np.float32)
    np.savez(flat / "data" / "flat.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9] % 2)
    line = refusal(flat, *settings(dataset="npz:flat.npz"))
    assert line.startswith("npz:flat.npz: task 2 of 2 (classes 2, 3) has no test samples: add some, or leave")


def test_a_parameter_that_does_not_fit_the_data_is_named_with_its_place() -> None:
    catalogue = load_experiments()
    for setting in ({"train_subset": 5}, {"test_subset": 10**6}, {"validation": 0.5, "train_subset": 10}):
        key = next(iter(setting))
        with pytest.raises(UserError, match=rf"^--set {key}: "):
            build_benchmark(catalogue.config("quickstart_dense", setting), 0, None)


def test_a_net_that_no_machine_holds_is_refused_before_it_is_made() -> None:
    config = load_experiments().config("quickstart_dense", {"hidden_units": 10**6, "hidden_layers": 2})
    with pytest.raises(UserError, match=r"^--set hidden_units: the hidden layers' weights need 4000256000000 bytes"):
        build_model(config, build_benchmark(config, 0, None), 0)


def test_a_dry_run_that_cannot_be_timed() -> None:
    config = load_experiments().config("quickstart_dense", {"lr": 1e30})
    with pytest.raises(UserError, match="quickstart_dense: cannot be timed: the loss is"):
        estimate(config, 0, None, torch.device("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda(tmp_path: Path) -> None:
    assert "--device cuda" in refusal(tmp_path, "--device", "cuda")


def test_a_plugin_argument_it_does_not_have(tmp_path: Path) -> None:
    line = refusal(tmp_path, "--name", "quickstart_dense", "--set", "plugins=[{name: replay, memsize: 5}]")
    assert "memsize" in line
    assert "mem_size" in line


def test_checkpoints_that_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "checkpoints").touch()
    line = refusal(tmp_path, "--name", "quickstart_dense", "--quiet")
    assert line.startswith("results/checkpoints: cannot write there")


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_a_result_that_would_run_code(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    name = "quickstart_dense_20260101T000000-000_seed0.pkl"
    (results / name).write_bytes(pickle.dumps([Evil(), {}]))
    assert name in refusal(tmp_path, "--name", "quickstart_dense", "--resume")
    assert not (tmp_path / "ran").exists()


def test_a_finished_result_that_lacks_a_key_is_named_before_anything_runs(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    name = "quickstart_dense_20260101T000000-000_seed0.pkl"
    config = load_experiments().config("quickstart_dense").model_dump()
    (results / name).write_bytes(pickle.dumps([config, {"seed": 0, "stopped": None}]))
    line = refusal(tmp_path, "--name", "quickstart_dense", "--resume")
    assert line == f"results/{name}: stats.accs: is missing"


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_is_finished(tmp_path: Path) -> None:
    done = run(tmp_path, "--name", "quickstart_dense", "--seed", "0", "--set", "lr=1e30")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "task 0, epoch 0, step" in done.stderr
    assert len(list((tmp_path / "results").glob("*.pkl"))) == 1
