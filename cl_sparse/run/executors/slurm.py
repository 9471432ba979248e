"""Runs trials as Slurm jobs, by submitit; the results folder must be on a disk that all nodes share.

Each trial is a job of its own, so imports are paid for each: meant for trials of minutes and more. A job that Slurm
preempts or ends for its time is submitted again by submitit, and goes on from the trial's last task.
"""

import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from cl_sparse.errors import UserError
from cl_sparse.output import ignore_avalanches_warnings
from cl_sparse.run.earlier import EarlierResults
from cl_sparse.run.executors.base import stamp
from cl_sparse.run.plan import Workplace
from cl_sparse.run.trial import Trial, Watch, run_trial

_FOLDER = ".slurm"  # of the jobs' scripts, pickles and logs, in the results folder
_EVERY = 1.0  # seconds between two looks at a job


class Slurm:
    """The executor of Slurm.

    Args:
        place: where trials run; ``threads`` are the CPUs of each job, 1 by default.
        jobs: of them, at most so many are with Slurm at once.
        options: Slurm's own, for example {"partition": "long", "time": 120}.
        cluster: "slurm", or another one of submitit's: "debug" runs in this process, "local" in one beside it.

    Raises:
        UserError: submitit is not installed, Slurm is not there, or an option is unknown.
    """

    def __init__(self, place: Workplace, jobs: int, options: dict[str, Any], cluster: str = "slurm") -> None:
        """Submit nothing yet."""
        self._place = replace(place, threads=place.threads or 1, results_dir=place.results_dir.absolute())
        submitit = _submitit()
        try:
            self._executor = submitit.AutoExecutor(folder=self._place.results_dir / _FOLDER, cluster=cluster)
            extra = {f"slurm_{key}": value for key, value in options.items()} if cluster == "slurm" else {}
            self._executor.update_parameters(cpus_per_task=self._place.threads, name="cl_sparse", **extra)
        except (RuntimeError, ValueError, TypeError, NameError) as error:  # the last for an unknown option
            raise UserError(f"--executor slurm: {' '.join(str(error).split())[:300]}") from None
        self._room = threading.Semaphore(jobs)
        self._under_way: dict[Any, Future[Path]] = {}

    def __enter__(self) -> "Slurm":
        """Do nothing: Slurm is there."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel the jobs under way."""
        for job in list(self._under_way):
            job.cancel()

    def submit(self, trial: Trial, watch: Watch) -> "Future[Path]":
        """Submit a job; a thread waits for it."""
        self._room.acquire()
        before = stamp(trial.checkpoint(self._place.results_dir))
        job = self._executor.submit(SlurmTrial(trial, self._place, before))
        watch.say(f"{trial.title}: job {job.job_id}")
        future: Future[Path] = Future()
        self._under_way[job] = future
        threading.Thread(target=self._wait, args=(job, future), daemon=True).start()
        return future

    def _wait(self, job: Any, future: "Future[Path]") -> None:
        try:
            while not job.done():
                if job.state == "RUNNING" and not future.running():
                    future.set_running_or_notify_cancel()
                time.sleep(_EVERY)
            path, problem = job.result()
            if problem is None:
                future.set_result(Path(path))
            else:
                future.set_exception(UserError(problem))
        except Exception as error:  # of submitit's: the job failed, or left no result
            future.set_exception(UserError(f"job {job.job_id}: {' '.join(str(error).split())[:300]}"))
        finally:
            self._under_way.pop(job, None)
            self._room.release()


class SlurmTrial:
    """What a job does; submitit calls it, and submits it again when Slurm has ended it too early."""

    def __init__(self, trial: Trial, place: Workplace, before: tuple[int, int] | None) -> None:
        """Run nothing yet."""
        self.trial, self.place, self.before = trial, place, before

    def __call__(self) -> tuple[str | None, str | None]:
        """Run the trial; return the path of its result, or why there is none."""
        ignore_avalanches_warnings()
        torch.set_num_threads(self.place.threads or 1)
        resume = self.place.resume or stamp(self.trial.checkpoint(self.place.results_dir)) not in (None, self.before)
        place = replace(self.place, resume=resume)
        earlier = EarlierResults(place.results_dir, place.data_root, same_code=place.sweep)
        try:
            return str(run_trial(self.trial, place, earlier, _Log())), None
        except UserError as error:
            return None, str(error)

    def checkpoint(self) -> Any:
        """Return what is submitted in its place."""
        return _submitit().helpers.DelayedSubmission(self)


class _Log:
    """A watch that writes to the job's log."""

    def begin(self, steps: int) -> None:
        print(f"{steps} steps")

    def advance(self, steps: int) -> None:
        """Say nothing: a log of steps is no use."""

    def task_done(self, line: str, _: float) -> None:
        print(line, flush=True)

    def say(self, line: str) -> None:
        print(line, flush=True)

    def complain(self, line: str) -> None:
        print(f"error: {line}", flush=True)


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError(
            "--executor slurm: submitit is not installed: pip install -r requirements-sweep.txt, or choose another"
        ) from None
    return submitit
