"""UCI's "Airfoil Self-Noise", from a file of the user's."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cl_sparse.data.root import data_root
from cl_sparse.errors import UserError

FILE = Path("airfoil") / "airfoil_self_noise.dat"
COLUMNS = ("frequency, Hz", "angle of attack, degrees", "chord, m", "velocity, m/s", "thickness, m", "sound, dB")
TEST_CHORD = 0.1016  # m


def load_airfoil(root: Path | None = None) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return training and test data, inputs (n, 5) and targets in dB (n,): the blades of chord .1016 m are for testing.

    Args:
        root: folder of the data sets; None: ``$CL_SPARSE_DATA``, else ``./data``. The file in it is
            ``airfoil/airfoil_self_noise.dat``, as UCI has it: six numbers a line.

    Raises:
        UserError: it is absent, or holds something else.
    """
    path = data_root(root) / FILE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it is empty
            rows = np.loadtxt(path, ndmin=2)
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found. Airfoil is not shipped: get airfoil_self_noise.dat of UCI's data set 291, "
            '"Airfoil Self-Noise", and put it there'
        ) from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as lines of six numbers ({reason})") from error
    if not len(rows):
        raise UserError(f"{path}: is empty")
    if rows.shape[1] != len(COLUMNS):
        raise UserError(f"{path}: holds {rows.shape[1]} columns; six finite numbers a line are expected")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise UserError(f"{path}: row {finite.argmin() + 1} holds what is no finite number")
    tested = np.isclose(rows[:, 2], TEST_CHORD)
    if tested.all() or not tested.any():
        raise UserError(f"{path}: {int(tested.sum())} of {len(rows)} rows have a chord of {TEST_CHORD} m, to test on")
    train, test = (torch.from_numpy(part).float() for part in (rows[~tested], rows[tested]))
    return (train[:, :-1], train[:, -1]), (test[:, :-1], test[:, -1])
