"""The results that earlier commands left in a folder; each is read once, however many runs ask for theirs."""

from dataclasses import dataclass
from pathlib import Path

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.identity import differing, short_hash
from cl_sparse.errors import UserError
from cl_sparse.report import Result, data_fingerprint, slim
from cl_sparse.results import file_name_of, find_results, load_complete_result, parse_file_name
from cl_sparse.run import build, provenance


@dataclass(frozen=True)
class Earlier:
    """A result that stands for a run: of the same experiment, seed and data.

    Attributes:
        path: of its file.
        result: without what is there per unit.
    """

    path: Path
    result: Result

    @property
    def stopped(self) -> bool:
        """Whether the run did not come to its end."""
        return self.result[1].get("stopped") is not None

    @property
    def line(self) -> str:
        """What to say of it."""
        if self.stopped:
            return f"stopped earlier, {self.path}: run without --resume to try again"
        return f"finished earlier, {self.path}"


@dataclass(frozen=True)
class OtherData:
    """A result that would stand for a run if the data were the same."""

    path: Path

    @property
    def line(self) -> str:
        """What to say of it."""
        return f"{self.path} was made with other data than are there now, trained anew"


class EarlierResults:
    """The results in a folder.

    A result made with other data does not stand for a run; one that does not say what its data were does. One that was
    stopped does while the code is the same: it would stop again.

    Args:
        results_dir: need not exist.
        data_root: where the data are.
        same_code: no result by other code stands for a run, not even partly by other.
    """

    def __init__(self, results_dir: Path, data_root: Path | None, *, same_code: bool = False) -> None:
        """Read nothing yet."""
        self._results_dir = results_dir
        self._data_root = data_root
        self._same_code = same_code
        self._files: dict[str, list[Path]] | None = None  # by the name in them
        self._read: set[Path] = set()
        self._found: dict[tuple[str, int], list[Earlier]] = {}  # by hash of the experiment, and seed
        self._fingerprints: dict[str, set[str]] = {}

    def forget_listing(self) -> None:
        """Look for new files when next asked."""
        self._files = None

    def damaged(self) -> list[str]:
        """Read all results that are there; return a line on each that cannot be."""
        problems = []
        for path in (path for paths in self._listing().values() for path in paths):
            try:
                self._add(path)
            except UserError as error:
                problems.append(str(error))
        self._files = {}
        return problems

    def find(self, config: ExperimentConfig, seed: int) -> Earlier | OtherData | None:
        """Return what stands for the run, the newest, finished ones first; else one with other data, if there is.

        Raises:
            UserError: if one of the experiment's results or its data cannot be read.
        """
        matching = [
            earlier for earlier in self.of(config, seed) if not self._same_code or _is_all_of_this_code(earlier)
        ]
        finished = [earlier for earlier in matching if not earlier.stopped]
        stopped = [earlier for earlier in matching if earlier.stopped and _is_of_this_code(earlier)]
        same = (earlier for earlier in (*finished, *stopped) if self._has_same_data(config, seed, earlier.result))
        return next(same, OtherData(finished[0].path) if finished else None)

    def of(self, config: ExperimentConfig, seed: int) -> list[Earlier]:
        """Return the results of exactly this config and seed, whatever their data, newest first."""
        for path in self._listing().pop(file_name_of(config.name), []):
            self._add(path)
        wanted = config.identity()
        candidates = self._found.get((short_hash(wanted), seed), [])
        return [earlier for earlier in reversed(candidates) if not differing(earlier.result[0], wanted)]

    def _listing(self) -> dict[str, list[Path]]:
        """Return the files not looked at since the last listing, which is one pass over the folder."""
        if self._files is None:
            self._files = {}
            for path in find_results(self._results_dir) if self._results_dir.is_dir() else []:
                parsed = parse_file_name(path)
                if parsed is not None and path not in self._read:
                    self._files.setdefault(parsed.name, []).append(path)
        return self._files

    def _add(self, path: Path) -> None:
        config, stats = load_complete_result(path)
        self._read.add(path)
        self._found.setdefault((short_hash(config), stats["seed"]), []).append(Earlier(path, (config, slim(stats))))

    def _has_same_data(self, config: ExperimentConfig, seed: int, result: Result) -> bool:
        stored = data_fingerprint(result[1])
        # One seed's data are another's, unless a benchmark of the user's draws them: then each seed is looked at.
        known = self._fingerprints.setdefault(f"{config.effective_benchmark} {config.benchmark_args()}", set())
        if stored is not None and stored not in known:
            known.add(build.build_benchmark(config, seed, self._data_root).fingerprint)
        return stored is None or stored in known


def _is_of_this_code(earlier: Earlier) -> bool:
    return earlier.result[1].get("code_hash") == provenance.code_hash()


def _is_all_of_this_code(earlier: Earlier) -> bool:
    hashes = earlier.result[1].get("code_hashes")
    trained_by = set(hashes) if isinstance(hashes, list) else set()
    return _is_of_this_code(earlier) and trained_by <= {provenance.code_hash()}
