"""Heat maps of two settings, points of two numbers: against a slow reference, and in a document."""

from pathlib import Path

import numpy as np
import pytest

from cl_sparse.errors import UserError
from cl_sparse.metrics import average_accuracy, forgetting, learning_accuracy
from cl_sparse.report.maps import maps_of, points_of
from cl_sparse.report.settings import recorded
from cl_sparse.report.study import Part
from tests.result_examples import NAN, finished

MAP = {
    "experiments": ["sparse"],
    "where": {"lr": 0.01},
    "numbers": {"ACC": "acc", "forgetting": "forgetting"},
    "rows": "percent_on_fc",
    "columns": "weight_sparsity_fc",
    "drawn": True,
}
POINTS = {
    "experiments": ["sparse"],
    "numbers": {"overlap": "shared_units", "forgetting": "forgetting"},
    "points": "percent_on_fc",
}


def run(on, density, seed, lr=0.01, stopped=None):
    rng = np.random.default_rng([seed, round(100 * on), round(100 * density), round(100 * lr)])
    layers = {name: rng.uniform(0, 1, (3, 3)) for name in ("features.act1", "features.act2")}
    config = {"percent_on_fc": on, "weight_sparsity_fc": density, "lr": lr}
    more = {"overlap": layers, "overlap_chance": {name: 0.5 * of for name, of in layers.items()}, "stopped": stopped}
    return finished("sparse", seed, accs=rng.uniform(0, 1, (3, 3)), config=config, **more)


def some():
    cells = [(on, density, seed) for on in (1, 0.1) for density in (0.5, 0.2) for seed in range(2)]
    runs = [run(*cell) for cell in cells if cell[:2] != (1, 0.2)]
    return [*runs, run(0.1, 0.5, 0, lr=0.03), run(0.1, 0.5, 2, stopped="the loss is nan")]


def test_a_cell_is_the_mean_over_its_seeds():
    rows, columns, found = maps_of(some(), Part.model_validate(MAP))
    assert (rows, columns, list(found)) == ([0.1, 1], [0.2, 0.5], ["ACC", "forgetting"])
    for label, measure in (("ACC", average_accuracy), ("forgetting", forgetting)):
        for i, on in enumerate(rows):
            for j, density in enumerate(columns):
                runs = [measure(run(on, density, seed)[1]["accs"]) for seed in range(2)]
                expected = NAN if (on, density) == (1, 0.2) else sum(runs) / 2
                assert found[label][i, j] == pytest.approx(expected, nan_ok=True)


def test_a_point_is_a_run():
    found = points_of(some(), Part.model_validate(POINTS))
    assert {value: len(points) for value, points in found.items()} == {0.1: 5, 1: 2}
    for seed, (overlap, forgot) in enumerate(found[1]):
        stats = run(1, 0.5, seed)[1]
        pairs = [of[i, j] for of in stats["overlap"].values() for i in range(3) for j in range(3) if i != j]
        assert overlap == pytest.approx(sum(pairs) / 12)
        assert forgot == pytest.approx(forgetting(stats["accs"]))


def test_numbers_that_are_computed_of_what_was_recorded():
    stats = run(1, 0.5, 0)[1]
    assert recorded(stats, "learning_accuracy") == learning_accuracy(stats["accs"])
    assert recorded(stats, "shared_units / shared_units_by_chance") == pytest.approx(2)
    with pytest.raises(KeyError):
        recorded({"accs": stats["accs"]}, "shared_units")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({**POINTS, "numbers": {"ACC": "acc"}}, "points: two numbers are needed"),
        ({**POINTS, "drawn": True}, "drawn: rows and columns are needed"),
        ({**POINTS, "rows": "lr"}, "rows and columns, or compare"),
    ],
)
def test_parts_that_are_none(part, said):
    with pytest.raises(ValueError, match=said):
        Part.model_validate(part)


def test_a_run_without_units_has_none_to_share():
    lone = run(1, 0.5, 0)
    lone[1]["overlap"] = {}
    with pytest.raises(UserError, match="a result has no number shared_units"):
        points_of([lone], Part.model_validate(POINTS))


def test_a_document_holds_them_where_there_are_results(study_page):
    text = study_page({"map": MAP, "points": POINTS, "later": {**MAP, "experiments": ["not run yet"]}}, some())
    assert text.count(".png") == 2
    assert "![ACC, forgetting as a heat map](docs/figures/study_map.png)" in text
    assert "![overlap, forgetting of each run](docs/figures/study_points.png)" in text
    for name in ("map", "points"):
        assert Path(f"docs/figures/study_{name}.png").stat().st_size > 5000
