"""Choosing is honest: on validation samples, on streams that no reported run sees."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from cl_sparse.errors import UserError
from cl_sparse.run.build import build_benchmark
from cl_sparse.sweep.protocol import ranked, worth
from cl_sparse.sweep.session import _print_choices
from cl_sparse.sweep.spec import Select
from cl_sparse.sweep.winners import Choice
from tests.sweep.sweeps import TUNED, methods


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["quickstart_dense", "split_digits"])
def test_no_reported_stream_is_chosen_on(folder, name):
    """Neither a permutation nor a class order is in both, whatever the task."""
    content = {**TUNED, "select": {"seeds": [100, 101, 102], "trials": 2}, "report": {"seeds": [0, 1, 2, 3, 4]}}
    method = methods(folder, content)[name]
    seen: dict[str, set[bytes]] = {"select": set(), "report": set()}
    for phase, config, seeds in (
        ("select", method.at({"lr": 0.1}), [100, 101, 102]),
        ("report", method.chosen({"lr": 0.1}), [0, 1, 2, 3, 4]),
    ):
        for seed in seeds:
            benchmark = build_benchmark(config, seed, None)
            transform = benchmark.tensors["train"].transform
            if transform is None:
                seen[phase].add(bytes(benchmark.classes_order_original_ids))
            else:
                samples = benchmark.tensors["train"]
                pixels = np.arange(64, dtype=np.float32).reshape(1, *samples.input_shape)
                for task in range(1, benchmark.n_tasks):  # the first is not permuted
                    x = transform(samples.x.new_tensor(pixels).to(samples.x.dtype), samples.y.new_tensor([task]))
                    seen[phase].add(x.numpy().tobytes())
    assert seen["select"]
    assert not seen["select"] & seen["report"]


def test_trials_hold_validation_samples_out_and_reports_do_not(folder):
    method = methods(folder, TUNED)["split_digits"]
    tried, chosen = method.at({"lr": 0.02}), method.chosen({"lr": 0.02})
    assert (tried.validation, tried.class_order, tried.lr, tried.name) == (0.2, "random", 0.02, "split_digits")
    assert (chosen.validation, chosen.class_order, chosen.lr, chosen.name) == (0, None, 0.02, "split_digits_tuned")
    assert methods(folder, {**TUNED, "set": {"validation": 0.3}})["split_digits"].at({}).validation == 0.3


def test_a_fixed_stream_is_refused(folder):
    method = methods(folder, {**TUNED, "set": {"stream_seed": 3}})["split_digits"]
    with pytest.raises(UserError, match=r"^s\.yaml: set\.stream_seed: 3: selection and report would share"):
        method.at({})


def test_a_trial_is_worth_its_validation_accuracies():
    stats = {"accs": [[1.0]], "val_accs": [[0.25]], "scenario": "domain", "heads": "single", "stopped": None}
    select = Select(seeds=[1], trials=1)
    assert worth(select, stats) == 0.25
    assert worth(None, stats) == 1.0
    assert math.isnan(worth(select, {**stats, "stopped": "the loss is nan"}))


def test_ranks():
    values = {3: 0.3, 0: 0.1, 1: math.nan, 2: 0.3}  # in the order in which they came to their end
    assert ranked(Select(seeds=[1], trials=1), values) == [2, 3, 0]
    assert ranked(Select(seeds=[1], trials=1, metric="forgetting"), values) == [0, 2, 3]


def test_a_narrow_terminal_folds_the_table_and_cuts_nothing(folder):
    method = methods(folder, TUNED)["quickstart_dense"]
    point = {"lr": 0.1, "plugins.synaptic_intelligence.c": 0.25}
    choice = Choice(method.name, method.at({}), method.chosen({"lr": 0.1}), point, 0.5, None, 2, 1, method.sweep.space)
    console = Console(file=io.StringIO(), width=70, force_terminal=True, color_system=None)
    _print_choices(method.sweep, [choice], console)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines[:-1])) <= 70
    assert "…" not in "".join(lines)
