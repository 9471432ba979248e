"""One experiment beside others, seed by seed: what is not due to the seed's luck."""

from collections.abc import Iterable

import numpy as np

from cl_sparse.errors import UserError
from cl_sparse.metrics import average_accuracy, mean_std
from cl_sparse.report import numbers
from cl_sparse.report.rows import Group, Result, group_results
from cl_sparse.report.table import markdown


def differences_table(results: Iterable[Result], reference: str) -> str:
    """A line for each experiment: ACC of the reference minus its own, at the same seeds, as Markdown.

    Means ± a standard deviation of the differences over the seeds that both have, and in how many the reference is
    ahead.

    Args:
        results: of the reference and of the others.
        reference: an experiment's name.

    Raises:
        UserError: there is no result of the reference, or there are results of several settings by its name.
    """
    groups = group_results(results)
    found = [group for group in groups if group.results[0][0]["name"] == reference]
    if len(found) != 1:
        raise UserError(
            f"results:begin differences {reference}: results of {len(found)} experiments have that name, and not of one"
        )
    heads = ("experiment", f"ACC of {reference} minus its own", "seeds", "reference ahead in")
    lines = [_line(group, _accs(found[0])) for group in groups if group is not found[0]]
    return markdown(heads, lines, [False, True, True, True])


def _accs(group: Group) -> dict[int, float]:
    return {stats["seed"]: average_accuracy(stats["accs"]) for _, stats in group.results}


def _line(group: Group, reference: dict[int, float]) -> list[str]:
    own = _accs(group)
    gains = np.array([reference[seed] - own[seed] for seed in sorted(reference.keys() & own.keys())])
    value = mean_std(gains)
    deviation = "" if np.isnan(value.std) else f" ± {numbers.accuracy(value.std)}"
    return [group.label, f"{numbers.signed(value.mean)}{deviation}", str(len(gains)), str(int((gains > 0).sum()))]
