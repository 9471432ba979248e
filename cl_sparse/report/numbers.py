"""How numbers are written: undefined ones as a dash, accuracies without a leading zero, spreads behind a ±."""

import math

from cl_sparse.metrics import MeanStd

UNDEFINED = "–"


def accuracy(value: float) -> str:
    """.866, 1.000, -.123."""
    if math.isnan(value):
        return UNDEFINED
    text = f"{value:.3f}"
    if text in ("0.000", "-0.000"):
        return ".000"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def signed(value: float) -> str:
    """+.012, -.123: a difference of accuracies."""
    text = accuracy(value)
    return text if text.startswith("-") or text in (UNDEFINED, ".000") else f"+{text}"


def spread(value: MeanStd) -> str:
    """.866 ± .012; without the deviation where one run gives none."""
    if math.isnan(value.mean) or math.isnan(value.std):
        return accuracy(value.mean)
    return f"{accuracy(value.mean)} ± {accuracy(value.std)}"


def count(value: float) -> str:
    """950, 51.2k, 3.18M: three digits."""
    if math.isnan(value):
        return UNDEFINED
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.{max(0, 2 - int(math.log10(scaled * 1.0005)))}f}{unit}"
    return f"{value:.0f}"


def percent(value: float) -> str:
    """12.3, 5.40, .050: three digits; the unit stands in the table's head."""
    if math.isnan(value):
        return UNDEFINED
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else accuracy(value)


def share(value: float) -> str:
    """1, .100, .0125: three digits of a share between 0 and 1."""
    if math.isnan(value):
        return UNDEFINED
    if value in (0, 1):
        return f"{value:.0f}"
    return f"{value:.4f}".removeprefix("0") if value < 0.1 else accuracy(value)


def seconds(value: float) -> str:
    """8.3, 245."""
    return UNDEFINED if math.isnan(value) else f"{value:.1f}" if value < 10 else f"{value:.0f}"
