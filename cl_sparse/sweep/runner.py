"""Runs a sweep: tries the points, chooses, reports, and leaves everything in one folder."""

import math
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import count
from pathlib import Path

import numpy as np

from cl_sparse.errors import UserError
from cl_sparse.report import Result, slim
from cl_sparse.results import load_complete_result
from cl_sparse.run import provenance
from cl_sparse.run.earlier import Earlier, EarlierResults
from cl_sparse.run.executors.base import Executor, StoppedEarlyError
from cl_sparse.run.group import Failures
from cl_sparse.run.progress import RunProgress, TrialBar
from cl_sparse.run.trial import Trial, stand_in
from cl_sparse.sweep.countdown import Countdown
from cl_sparse.sweep.entry import Entry
from cl_sparse.sweep.former import settle
from cl_sparse.sweep.manifest import Manifest
from cl_sparse.sweep.plan import SweepPlan
from cl_sparse.sweep.protocol import Method, ranked, worth
from cl_sparse.sweep.search import Search
from cl_sparse.sweep.spec import Select
from cl_sparse.sweep.winners import Choice, write_winners

_LOOK = 0.5  # seconds between two looks at what was queued


class OutOfTime(Exception):  # noqa: N818 (no error)
    """The hours given are over."""


class SweepRunner:
    """Runs a sweep's trials.

    Args:
        plan: what to run, and where.
        executor: what runs the trials.
        earlier: what was in the folder; None: nothing stands for a trial.
        manifest: where events go.
        progress: where progress goes.
        failures: where failures go.
        window: trials to have under way or waiting.
        deadline: of `time.monotonic`, or None.
        data: their fingerprint.

    Attributes:
        results: what came out, to be shown: all of a plain sweep, the reported ones of one that chooses.
        worths: by experiment, then by number of the point: what it is worth; NaN if it came to nothing. Points that are
            no finalists are taken out.
        beaten: by experiment, how many points these are.
    """

    def __init__(
        self,
        plan: SweepPlan,
        executor: Executor,
        earlier: EarlierResults | None,
        manifest: Manifest,
        progress: RunProgress,
        failures: Failures,
        window: int,
        deadline: float | None,
        data: str,
    ) -> None:
        """Run nothing yet."""
        self.sweep, self.searches, self.place, self.executor = plan.sweep, plan.searches, plan.place, executor
        self.earlier, self.manifest, self.progress, self.failures = earlier, manifest, progress, failures
        self._window, self._deadline = window, deadline
        self._made_with = f"{provenance.code_hash()} {data}"
        self._pending: dict[Future[Path], tuple[Entry, TrialBar]] = {}
        self._queued: set[Future[Path]] = set()
        self._done: dict[tuple[str, int], float] = {}
        self._seeds_left: dict[tuple[str, int], int] = {}
        self._values: dict[tuple[str, int], list[float]] = {}
        self._points: dict[tuple[str, int], dict[str, object]] = {}
        self._countdown = Countdown(sum(plan.trials().values()))
        self.results: list[Result] = []
        self.worths: dict[str, dict[int, float]] = {method.name: {} for method in plan.searches}
        self.beaten: dict[str, int] = {}

    def run(self) -> list[Choice]:
        """Run everything; return what was chosen.

        Raises:
            OutOfTime: the deadline came first.
        """
        self._run_all(entry for method, search in self.searches.items() for entry in self._tries(method, search))
        if self.sweep.select is not None and self.sweep.select.finalists is not None:
            finalists = {method: self._finalists(method, self.sweep.select) for method in self.searches}
            self._run_all(entry for method, best in finalists.items() for entry in self._more_tries(method, best))
        if self.sweep.select is None or self.sweep.report is None:
            return []
        choices = [choice for method in self.searches if (choice := self._choose(method)) is not None]
        self._settle(choices)
        self._run_all(
            Entry(choice.experiment, "report", -1, choice.point, Trial(choice.chosen, seed))
            for choice in choices
            for seed in self.sweep.report.seeds
        )
        return choices

    def _settle(self, choices: list[Choice]) -> None:
        """Write down what was chosen, and move the results of former winners aside."""
        folder = self.place.results_dir
        if choices:
            write_winners(folder, self.sweep, choices)
        for choice in choices:
            settle(folder, choice.chosen)
        if self.earlier is not None:
            self.earlier.forget_listing()

    def _tries(self, method: Method, search: Search) -> Iterator[Entry]:
        """Yield the trials of each point, asking for the next point when its first trial is needed."""
        seeds = self.sweep.first_seeds
        for number in count():
            point = search.ask()
            if point is None:
                return
            self._values[method.name, number] = []
            self._points[method.name, number] = point
            yield from self._with_seeds(method, number, seeds)

    def _finalists(self, method: Method, select: Select) -> list[int]:
        """Return the numbers of the points that go on to the other seeds; the others are out of the race."""
        values = self.worths[method.name]
        best = ranked(select, values)[: select.finalists]
        self.beaten[method.name] = sum(not math.isnan(value) for value in values.values()) - len(best)
        self.worths[method.name] = {n: v for n, v in values.items() if n in best or math.isnan(v)}
        return best

    def _more_tries(self, method: Method, finalists: list[int]) -> Iterator[Entry]:
        """Yield the finalists' trials with the seeds that they have not run with."""
        seeds = self.sweep.point_seeds[len(self.sweep.first_seeds) :]
        for number in finalists:
            yield from self._with_seeds(method, number, seeds)

    def _with_seeds(self, method: Method, number: int, seeds: list[int]) -> Iterator[Entry]:
        point = self._points[method.name, number]
        config = method.at(point)
        self._seeds_left[method.name, number] = len(seeds)
        for seed in seeds:
            yield Entry(method.name, "try", number, point, Trial(config, seed))

    def _run_all(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            while any(other.key == entry.key for other, _ in self._pending.values()):
                self._collect()  # the very same trial is under way
            if entry.key in self._done:
                self._countdown.count(ran=False)
                self._take_note(entry, self._done[entry.key])
                self.progress.watch(entry.title).end()
            elif not self._stood_in(entry) and not self._was_stopped_early(entry):
                self._submit(entry)
            while len(self._pending) >= self._window:
                self._collect()
        while self._pending:
            self._collect()

    def _stood_in(self, entry: Entry) -> bool:
        """Take a finished result for the trial, if there is one."""
        found = self.earlier.find(entry.trial.config, entry.trial.seed) if self.earlier is not None else None
        if not isinstance(found, Earlier):
            return False
        bar = self.progress.watch(entry.title)
        stand_in(entry.trial, self.place, found, self.failures.failed)
        self._finish(entry, found.path, found.result, again=True)
        bar.end()
        return True

    def _was_stopped_early(self, entry: Entry) -> bool:
        """Leave a trial alone that a scheduler has stopped in an earlier command."""
        stands = self.earlier is not None and self.sweep.scheduler is not None
        if not stands or (*entry.key, self._made_with) not in self.manifest.stopped_early:
            return False
        self._stopped_early(entry, f"stopped early by an earlier command  ({self._countdown.count(ran=False)})")
        return True

    def _stopped_early(self, entry: Entry, line: str) -> None:
        self.progress.say(f"{entry.title}  {line}")
        self._note("stopped early", entry, config=entry.key[0], made_with=self._made_with)
        self._take_note(entry, math.nan)

    def _submit(self, entry: Entry) -> None:
        bar = self.progress.watch(entry.title)
        future = self.executor.submit(entry.trial, bar)
        self._pending[future] = entry, bar
        self._queued.add(future)

    def _wait(self) -> set[Future[Path]]:
        """Wait for trials; note meanwhile which of those that were queued have begun."""
        while True:
            left = math.inf if self._deadline is None else self._deadline - time.monotonic()
            done, _ = wait(self._pending, timeout=min(_LOOK, max(0.0, left)), return_when=FIRST_COMPLETED)
            for future in [future for future in self._queued if future.running() or future.done()]:
                self._queued.remove(future)
                self._note("begun", self._pending[future][0])
            if done:
                return done
            if left <= 0:
                raise OutOfTime

    def _collect(self) -> None:
        """Wait for a trial, and take what it came to."""
        for future in self._wait():
            entry, bar = self._pending.pop(future)
            bar.end()
            try:
                path = future.result()
                config, stats = load_complete_result(path)
            except StoppedEarlyError as early:
                self._stopped_early(entry, f"{early}  ({self._countdown.count(ran=True)})")
            except Exception as error:  # a fault of ours costs one trial, not the sweep
                problem = str(error) if isinstance(error, UserError) else f"a fault of this program: {error}"
                self._countdown.count(ran=True)
                self.failures.failed(f"{entry.title}: {problem}")
                self._note("failed", entry, problem=problem)
                self._take_note(entry, float("nan"))
            else:
                self._finish(entry, path, (config, slim(stats)), again=False)

    def _finish(self, entry: Entry, path: Path, result: Result, *, again: bool) -> None:
        stats = result[1]
        select = self.sweep.select if entry.phase == "try" else None
        value = worth(select, stats)
        place = self._countdown.count(ran=not again)
        if stats.get("stopped") is not None:
            self.failures.stopped(f"{entry.title} stopped: {stats['stopped']}")
            self._note("stopped", entry, problem=stats["stopped"], result=path.name)
        else:
            seconds = stats["seconds"]["total"]
            self._note("finished", entry, worth=value, seconds=seconds, result=path.name, earlier=again)
            metric = select.metric if select else "acc"
            on = "validation" if select else "test"
            said = "finished earlier" if again else f"{seconds:.1f} s"
            self.progress.say(f"{entry.title}  {metric} on {on} data {value:.4f}  ({said}; {place})")
        if self.sweep.select is None or entry.phase == "report":
            self.results.append(result)
        self._take_note(entry, value)

    def _take_note(self, entry: Entry, value: float) -> None:
        self._done[entry.key] = value
        if entry.phase == "report":
            return
        place = entry.experiment, entry.number
        self._values[place].append(value)
        self._seeds_left[place] -= 1
        if self._seeds_left[place] == 0:
            mean = float(np.mean(self._values[place]))  # NaN if any came to nothing
            self.worths[entry.experiment][entry.number] = mean
            if len(self._values[place]) == len(self.sweep.first_seeds):  # not of finalists, when all were asked for
                method = next(method for method in self.searches if method.name == entry.experiment)
                self.searches[method].tell(entry.point, mean)

    def _choose(self, method: Method) -> Choice | None:
        assert self.sweep.select is not None
        values = self.worths[method.name]
        order = ranked(self.sweep.select, values)
        if not order:
            kind = "finalists" if self.beaten else f"{len(values)} points"
            self.failures.failed(f"{method.name}: none of its {kind} came to an end: nothing to choose")
            return None
        first, *rest = order
        points = {number: point for (name, number), point in self._points.items() if name == method.name}
        return Choice(
            experiment=method.name,
            base=method.catalogue.config(method.name),
            chosen=method.chosen(points[first]),
            point=points[first],
            value=values[first],
            second=(points[rest[0]], values[rest[0]]) if rest else None,
            points=self.beaten.get(method.name, 0) + len(values),
            failed=len(values) - len(order),
            searched=self.sweep.space_of(method.name),
        )

    def _note(self, event: str, entry: Entry, **facts: object) -> None:
        try:
            self.manifest.note(event, **entry.facts(), **facts)
        except UserError as error:  # the results stand without it
            self.failures.failed(str(error))
