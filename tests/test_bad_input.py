"""Bad input, each case in a process of its own: one clear line, exit code 2, no traceback, nothing written."""

import pickle
from itertools import pairwise
from pathlib import Path

import pytest

from cl_sparse.cli import main
from cl_sparse.errors import SettingError
from tests.commands import ROOT, refusal

NINES = f"'{'9' * 27}...{'9' * 28}'"  # five thousand of them, as messages show them


def growing(first: str, link: str) -> str:
    """Return YAML of a few hundred characters, each of its twelve values ten times the one before it."""
    links = [f"&{name} {link % ', '.join([f'*{before}'] * 10)}" for before, name in pairwise("abcdefghijkl")]
    return f"[{', '.join([f'&a {first}', *links])}]"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ("--name quikstart", "--name: unknown experiment 'quikstart', did you mean quickstart"),
        ("--name nothing_at_all*", "--name: unknown experiment 'nothing_at_all*'"),
        ("--name", "--name: expected at least one argument"),
        ("--set percent_onfc=0.1", "--set percent_onfc: unknown parameter, did you mean percent_on_fc"),
        ("--set lr=fast", "--set lr: 'fast' is text: a number is needed"),
        ("--set mb_size=3.5", "--set mb_size: 3.5 is a number: a whole number is needed"),
        ("--set mb_size=true", "--set mb_size: true: a whole number is needed"),
        ("--set sparsify=1", "--set sparsify: 1 is a whole number: true or false is needed"),
        ("--set lr", "--set lr: KEY=VALUE is needed"),
        ("--set lr=[", "--set lr: '[': "),
        ("--set percent_on_fc=1.5", "--set percent_on_fc: 1.5 is out of range: at most 1"),
        ("--set percent_on_conv=1.5", "--set percent_on_conv: 1.5 is out of range: at most 1"),
        ("--set lr=-1", "--set lr: -1 is out of range: above 0"),
        ("--set mb_size=0", "--set mb_size: 0 is out of range: at least 1"),
        ("--set hidden_units=-5", "--set hidden_units: -5 is out of range: at least 1"),
        ("--set lr=.nan", "--set lr: nan: a finite number is needed"),
        ("--set weight_decay=.inf", "--set weight_decay: inf: a finite number is needed"),
        ("--name SplitMNIST --set num_batch=6", "--set num_batch: 6 does not divide the 10 classes of mnist: choose 1"),
        (
            "--set cnn=true padding=true kernel_size=4",
            "--set kernel_size: maps keep their size (padding) with an odd one",
        ),
        ("--set cnn=true", "--set cnn: nothing is left of the 8x8 pixels of digits behind convolution 2"),
        ("--set cnn=true stride=3 kernel_size=3", "--set cnn: nothing is left of the 8x8 pixels of digits behind conv"),
        ("--set residual_blocks=1", "--set residual_blocks: are convolutions: choose cnn: true, or null"),
        (
            "--set residual_blocks=1 cnn=true batch_norm=false",
            "--set batch_norm: a residual net is normalised: choose true",
        ),
        (
            "--set residual_blocks=1 cnn=true batch_norm=true sparsify=true",
            "--set sparsify: a residual net is dense, with ReLU: choose false",
        ),
        ("--set plugins=[{name: rplay}]", "--set plugins: unknown plugin 'rplay', did you mean replay"),
        ("--set plugins.replay.mem_siz=1", "--set plugins.replay.mem_siz: unknown argument, did you mean mem_size"),
        ("--set strategy=cumulativ", "--set strategy: unknown strategy 'cumulativ', did you mean cumulative"),
        ("--set lr=1 mb_size=2 lr=2", "--set lr: is there twice: give it one value"),
        ("--set lr=!!int", "--set lr: '!!int': the tag '!!int' is not allowed: plain data only"),
        ("--set lr=2024-13-45", "--set lr: '2024-13-45': '2024-13-45': month must be in 1..12"),
        (f"--set lr={'9' * 5000}", f"--set lr: {NINES}: {NINES}: a whole number has at most 100 digits"),
        (f"--results-dir {'r' * 300}", f"--results-dir '{'r' * 27}...{'r' * 28}': cannot be a path"),
        ("--set num_batch=100000", "--set num_batch: 100000 is out of range: at most 1000"),
        ("--set k_inference_factor=1e308", "--set k_inference_factor: 1e+308 is out of range: at most 1000000"),
        ("--set max_angle=360", "--set max_angle: 360 is out of range: below 360"),
        ("--name CNNSparse --set weights=sparse", "--set weights: sparse is for an MLP (cnn false)"),
        ("--threads 9999999999999", "--threads: 9999999999999 is out of range: at most 1024"),
        ("--set lr=!!python/object/apply:os.system[ls]", "--set lr: "),
        ("--seeds 0", "--seeds: 0 is out of range: at least 1"),
        ("--seeds three", "--seeds: 'three': a whole number is needed"),
        ("--seed -1", "--seed: -1 is out of range: at least 0"),
        ("--seed 1 --seeds 2", "--seeds: not allowed with argument --seed"),
        ("--seed 1 --seed 2", "--seed: is there twice: give it one value"),
        ("--device auto --device cpu", "--device: is there twice: give it one value"),
        ("--threads 0", "--threads: 0 is out of range: at least 1"),
        ("--device gpu", "--device: invalid choice: 'gpu'"),
        ("--nmae CNN", "unknown argument '--nmae', did you mean --name"),
        ("CNN", "unknown argument 'CNN'"),
    ],
)
def test_arguments(tmp_path: Path, argv: str, line: str) -> None:
    flag, _, value = argv.partition("plugins=")
    words = [*flag.split(), f"plugins={value}"] if value else argv.split()
    assert refusal(tmp_path, *words).startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "exps/mine.yaml: is empty: a mapping from experiment names to parameters is needed"),
        ("Mine: !!python/object/apply:os.mkdir [made]", "exps/mine.yaml:1: the tag '!!python/object/apply:os.mkdir'"),
        ("Mine: {lr: [}", "exps/mine.yaml:1: "),
        ("Mine: {inherits: MLP_1Layer, percent_on_fc: 1.5}", "exps/mine.yaml: Mine.percent_on_fc: 1.5 is out of range"),
        ("Mine: {dropuot: 0}", "exps/mine.yaml: Mine.dropuot: unknown parameter, did you mean dropout or"),
        ("Mine: {lr: 1, lr: 2}", "exps/mine.yaml:1: 'lr' is there twice"),
        ("Mine:\n  lr: !!float 'x'", "exps/mine.yaml:2: the tag '!!float' is not allowed: plain data only"),
        (f"Mine:\n  lr: {'9' * 5000}", "exps/mine.yaml:2: '999"),
        ("Mine:\n  lr: 2024-13-45", "exps/mine.yaml:2: '2024-13-45': month must be in 1..12"),
        (f"Mine: {{lr: {growing('[1]', '[%s]')}}}", "exps/mine.yaml: Mine.lr: [[1], [[1], "),
        (f"Mine: {{plugins: {growing('[1]', '[%s]')}}}", "exps/mine.yaml: Mine.plugins.0: [1] is a list"),
        (f"Mine: {{lr: {growing('{k: 1}', '{<<: [%s]}')}}}", "exps/mine.yaml:1: takes more than 100000 keys"),
        ("Mine: {inherits: MLP_1Layr}", "exps/mine.yaml: Mine.inherits: unknown experiment 'MLP_1Layr', did you mean"),
        ("Mine: {inherits: Mine}", "exps/mine.yaml: Mine.inherits: goes in a circle: Mine -> Mine"),
        ("Mine: {group: [Nobody]}", "exps/mine.yaml: Mine.group: unknown experiment 'Nobody'"),
        ("Mine: {benchmark: SplitMNIST, num_batch: 6}", "exps/mine.yaml: Mine.num_batch: 6 does not divide"),
        ("Mine: {benchmark: SplitDigits, cnn: true}", "exps/mine.yaml: Mine.cnn: nothing is left"),
    ],
)
def test_files(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "exps").mkdir()
    (tmp_path / "exps" / "mine.yaml").write_text(text, encoding="utf-8")
    assert refusal(tmp_path, "--name", "Mine").startswith(line)


def test_results_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("file", "file/below", "file/below/that"):
        assert refusal(tmp_path, "--results-dir", folder).startswith(f"--results-dir {folder}: ")


def test_no_command_or_an_unknown_one(tmp_path: Path) -> None:
    program = ("-c", f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from cl_sparse.cli import main; sys.exit(main())")
    assert refusal(tmp_path, command=program) == "the following arguments are required: COMMAND"
    assert refusal(tmp_path, "rnu", command=program).startswith("COMMAND: invalid choice: 'rnu'")


def test_a_working_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main(["list"]) == 2
    assert capsys.readouterr().err.startswith("error: the working folder is gone")


def test_what_a_worker_raises_arrives_as_it_was() -> None:
    error = pickle.loads(pickle.dumps(SettingError("lr", "is too large")))
    assert (str(error), error.key, error.problem) == ("lr: is too large", "lr", "is too large")
