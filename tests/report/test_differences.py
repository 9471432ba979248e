import pytest

from cl_sparse.errors import UserError
from cl_sparse.report.differences import differences_table


def runs(result, name, accs):
    return [result(name, seed, accs=[[acc]]) for seed, acc in accs.items()]


def test_differences_are_of_the_seeds_that_both_have(result):
    results = [*runs(result, "ours", {0: 0.9, 1: 0.8, 2: 0.1}), *runs(result, "other", {0: 0.7, 1: 0.9, 5: 0.0})]
    lines = differences_table(results, "ours").splitlines()
    assert lines[0] == "| experiment | ACC of ours minus its own | seeds | reference ahead in |"
    assert lines[2:] == ["| other | +.050 ± .212 | 2 | 1 |"]


def test_without_a_reference_there_is_no_table(result):
    with pytest.raises(UserError, match="differences ours: results of 0 experiments have that name"):
        differences_table(runs(result, "other", {0: 0.5}), "ours")
