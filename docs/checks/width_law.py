"""By what law does Σ std of a layer's activity grow with its width? Fits lines to the results of journal_widths.

python docs/checks/width_law.py
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import linregress

from cl_sparse.results import find_results, load_result

WIDTHS = (16, 64, 256, 1024, 4096)


def main() -> None:
    """Print R² of Σ std, and of its logarithm, against the logarithm of the width; means over the seeds."""
    results = [load_result(path) for path in find_results(Path("results/published"))]
    for data in ("mnist", "fashion"):
        names = [f"journal_width_{data}_{width}" for width in WIDTHS]
        totals = [np.mean([_total(stats) for config, stats in results if config["name"] == name]) for name in names]
        logarithmic, power = (linregress(np.log2(WIDTHS), values) for values in (totals, np.log2(totals)))
        print(f"{data}: logarithmic R² {logarithmic.rvalue**2:.3f}; power {power.slope:.2f} R² {power.rvalue**2:.3f}")


def _total(stats: dict[str, Any]) -> float:
    (layer,) = stats["mechanisms"]["capacity_probe"]["layers"].values()
    return float(layer["total_std"][-1])


if __name__ == "__main__":
    main()
