"""The command line: checks what the user asks for, then hands a `RunPlan` to the runner.

Imports no torch before everything is checked: help and listing answer at once. Bad input is one line and exit code 2.
"""

import argparse
import errno
import io
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cl_sparse.config.experiments import Catalogue, load_experiments, parse_overrides
from cl_sparse.config.wording import near, shortened
from cl_sparse.errors import UserError
from cl_sparse.interrupt import last_word
from cl_sparse.output import drop_unwritten, writing
from cl_sparse.run.data_check import check_data
from cl_sparse.run.memory import check_memory
from cl_sparse.run.plan import RunPlan, Workplace
from cl_sparse.sweep.command import add_options

DEFAULT_NAME = "quickstart"
_MOST_THREADS = 1024  # of more, a system may not be able to start them all
_MOST_JOBS = 256
_BAD_INPUT = 2
_PIPE_CLOSED = 141  # what a shell reports of a program that SIGPIPE ended


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are `UserError`, so that they are one line like all others."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message.removeprefix("argument "))

    def _print_message(self, message: str, file: Any = None) -> None:
        with writing():  # argparse would end as if what cannot be written had been
            print(message, end="", file=file, flush=True)


class _Once(argparse.Action):
    """Stores an option's value; refuses a second one, of which the last would win without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        given = vars(namespace).setdefault("given", set())
        if self.dest in given:
            parser.error(f"{option}: is there twice: give it one value")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 2 for bad input, 130 when interrupted, 143 when terminated.

    A loss that stopped being a number makes it 1, and ``--max-hours`` that were over 75.

    Args:
        argv: the arguments after the program's name; default: the process's own.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without ± is no reason to lose a table
    try:
        _check_working_folder()
        arguments = _parse(sys.argv[1:] if argv is None else argv)
        return _COMMANDS["list" if arguments.list else arguments.command](arguments)
    except UserError as error:
        print("error:", str(error), file=sys.stderr)
        return _BAD_INPUT
    except KeyboardInterrupt as interruption:
        word, code = last_word(interruption)
        print(word, file=sys.stderr)
        return code
    except BrokenPipeError:  # `cl-sparse list | head`
        return _PIPE_CLOSED
    finally:
        drop_unwritten()


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise UserError(f"the working folder is gone ({error.strerror}): change to one that exists") from None


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(prog="cl-sparse", description="Benchmarks of sparse continual learning.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = commands.add_parser(
        "run", help="run experiments", description="Run experiments, and write what they remember.", allow_abbrev=False
    )
    _add_run_options(run)
    listing = commands.add_parser(
        "list", help="list experiments or their parameters", description="List experiments.", allow_abbrev=False
    )
    listing.add_argument(
        "--parameters", action="store_true", help="list what an experiment can set, with types and defaults"
    )
    listing.set_defaults(list=True)
    packing = commands.add_parser(
        "pack",
        help="put the results of each experiment into one file",
        description="Put the results of each experiment in a folder into one file, and remove their single files.",
        allow_abbrev=False,
    )
    packing.add_argument("folder", type=Path, metavar="DIR", help="a results folder, or a sweep's")
    packing.set_defaults(list=False)
    sweep = commands.add_parser(
        "sweep",
        help="run many settings of experiments, and choose among them",
        description="Run the trials of a sweep; go on with one that was stopped.",
        allow_abbrev=False,
    )
    sweep.register("action", None, _Once)
    add_options(sweep.add_argument)
    _add_shared_options(sweep.add_argument)
    sweep.set_defaults(list=False)
    return parser


def _add_run_options(run: argparse.ArgumentParser) -> None:
    run.register("action", None, _Once)  # what an option does that says nothing else
    add = run.add_argument
    name_help = f"experiments or groups, as names or shell patterns (default: {DEFAULT_NAME})"
    add("--name", nargs="+", action="extend", metavar="NAME", help=name_help)
    add("--list", action="store_true", help="list the experiments and groups instead")
    seeds = run.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seeds", type=_whole(1, 10_000), metavar="N", help="run with seeds 0 to N-1 (default: the experiment's)"
    )
    seeds.add_argument("--seed", type=_whole(0), metavar="S", help="run with this one seed")
    set_help = "parameters to change in every experiment, for example lr=0.05 (all: cl-sparse list --parameters)"
    add("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=set_help)
    add("--results-dir", type=Path, default=Path("results"), metavar="DIR", help="where results go (default: results)")
    _add_shared_options(add)
    add("--resume", action="store_true", help="continue runs that were stopped")
    add("--dry-run", action="store_true", help="time 20 steps and print how long each experiment would take")
    run.set_defaults(parameters=False)


def _add_shared_options(add: Callable[..., Any]) -> None:
    add("--data-root", type=Path, metavar="DIR", help="where data sets are (default: $CL_SPARSE_DATA, else ./data)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (default: auto)")
    threads_help = "CPU threads (default: as many as torch chooses; in a process of several, or of a sweep, 1)"
    add("--threads", type=_whole(1, _MOST_THREADS), metavar="N", help=threads_help)
    add("--jobs", type=_whole(1, _MOST_JOBS), default=1, metavar="N", help="runs side by side (default: 1)")
    add("--quiet", action="store_true", help="print no progress")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        raise UserError(f"unknown argument {unknown[0]!r}{_near_option(parser, arguments.command, unknown[0])}")
    return arguments


def _near_option(parser: argparse.ArgumentParser, command: str, unknown: str) -> str:
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    options = [option for action in commands.choices[command]._actions for option in action.option_strings]
    return near(unknown.partition("=")[0], options)


def _whole(least: int, most: int = 2**63 - 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: a whole number is needed") from None
        if not least <= number <= most:
            bound = f"at least {least}" if number < least else f"at most {most}"
            raise argparse.ArgumentTypeError(f"{text} is out of range: {bound}")
        return number

    return parse


def _run(arguments: argparse.Namespace) -> int:
    selections = load_experiments().select(arguments.name or [DEFAULT_NAME], parse_overrides(arguments.set))
    seeds = None if arguments.seeds is None else tuple(range(arguments.seeds))
    plan = RunPlan(
        selections=tuple(selections),
        place=Workplace(
            data_root=arguments.data_root,
            results_dir=arguments.results_dir,
            device=arguments.device,
            threads=arguments.threads,
            resume=arguments.resume,
        ),
        seeds=seeds if arguments.seed is None else (arguments.seed,),
        jobs=arguments.jobs,
        quiet=arguments.quiet,
        dry_run=arguments.dry_run,
    )
    _check_seeds(plan)
    if not plan.dry_run:
        _check_writable(plan.place.results_dir)
    for config, _ in plan.runs():
        check_memory(config)
    check_data(plan)
    from cl_sparse.run.session import run  # torch and Avalanche: seconds, so not before everything above is right

    return run(plan)


def _sweep(arguments: argparse.Namespace) -> int:
    if arguments.status is not None:
        if arguments.file is not None:
            raise UserError("--status: goes without FILE: the folder says which sweep it is")
        from cl_sparse.sweep.status import print_status

        print_status(arguments.status)
        return 0
    from cl_sparse.sweep.planning import plan_of

    plan = plan_of(arguments, _check_writable)
    if arguments.dry_run:
        from cl_sparse.sweep.dry_run import print_plan

        print_plan(plan)
        return 0
    from cl_sparse.sweep.start import start

    return start(plan)


def _pack(arguments: argparse.Namespace) -> int:
    from cl_sparse.results import pack_results

    packs = pack_results(arguments.folder)
    lines = [f"{path}: {n} results" for path, n in packs.items()] or [f"{arguments.folder}: nothing to pack"]
    with writing():
        print("\n".join(lines), flush=True)
    return 0


def _check_seeds(plan: RunPlan) -> None:
    """Refuse to run the same numbers several times and to call that several seeds."""
    for config in (config for selection in plan.selections for config in selection.configs):
        n = len(plan.seeds_for(config))
        if n > 1 and config.stream_seed is not None and config.net_seed is not None:
            raise UserError(f"{config.name}: {n} seeds would be one run {n} times: set stream_seed or net_seed to null")


def _check_writable(folder: Path) -> None:
    """Refuse a results folder that cannot be written to, without making it."""
    try:
        (folder / "checkpoints").lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"--results-dir {shortened(str(folder))}: cannot be a path ({error.strerror})") from None
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise UserError(f"--results-dir {folder}: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--results-dir {folder}: no permission to write in {existing}")


def _list(arguments: argparse.Namespace) -> int:
    text = _parameter_text() if arguments.parameters else _catalogue_text(load_experiments())
    with writing():
        print(text, flush=True)
    return 0


def _catalogue_text(catalogue: Catalogue) -> str:
    width = max(len(entry.name) for entry in [*catalogue.groups, *catalogue.experiments])
    lines = []
    for title, entries in (("groups", catalogue.groups), ("experiments", catalogue.experiments)):
        lines += [title, *(f"  {entry.name:<{width}}  {entry.description}".rstrip() for entry in entries)]
    return "\n".join(lines)


def _parameter_text() -> str:
    from cl_sparse.config.reference import parameters

    lines = []
    for parameter in parameters():
        lines.append(f"{parameter.name}: {parameter.type}, default {parameter.default}")
        lines += textwrap.wrap(parameter.description, 100, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


_COMMANDS = {"run": _run, "list": _list, "sweep": _sweep, "pack": _pack}

if __name__ == "__main__":
    sys.exit(main())
