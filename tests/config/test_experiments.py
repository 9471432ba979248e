from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cl_sparse.config.experiments import Catalogue, experiment_folders, load_experiments, parse_overrides
from cl_sparse.errors import UserError
from cl_sparse.run.plan import RunPlan

ROOT = Path(__file__).resolve().parents[2]
SOURCE = [
    "MLP_1Layer",
    "MLP_1LayerSparse",
    "MLP_2Layers",
    "MLP_2LayersSparse",
    "CNN",
    "CNNSparse",
    "SplitMNIST",
    "CNNCumul",
    "Cifar100MLP",
    "Cifar100Cumul",
]
GROUPS = ["permuted_mnist", "split_mnist", "icifar10", "quickstart"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(**files: str) -> Catalogue:
    folder = Path("mine")
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_experiments([folder])


def problem(*names: str, settings: tuple[str, ...] = (), **files: str) -> str:
    with pytest.raises(UserError) as caught:
        load(**files).select(names or ["*"], parse_overrides(settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_shipped_experiments_are_valid_and_described() -> None:
    catalogue = load_experiments([ROOT / "exps"])
    assert all(entry.description for entry in [*catalogue.groups, *catalogue.experiments])
    assert len(catalogue.select(["*"])) >= len(catalogue.groups)
    assert set(SOURCE) <= {entry.name for entry in catalogue.experiments}
    assert {entry.name for entry in catalogue.groups} >= {*GROUPS, "mechanisms"}


@pytest.mark.parametrize("group", GROUPS)
def test_a_shipped_group_is_dense_and_sparse_sequential_and_cumulative(group: str) -> None:
    [selection] = load_experiments([ROOT / "exps"]).select([group])
    assert selection.title == group
    assert {(config.sparsify, config.cumul) for config in selection.configs} == {
        (sparsify, cumul) for sparsify in (False, True) for cumul in (False, True)
    }


def test_the_published_settings() -> None:
    catalogue = load_experiments([ROOT / "exps"])
    for name in ("MLP_1LayerSparse", "MLP_2LayersSparse", "CNNSparse"):
        config = catalogue.config(name)
        assert config.effective_benchmark == "PermutedMNIST"
        assert (config.num_batch, config.train_ep, config.train_ep_inc, config.mb_size) == (10, 2, 2, 128)
        assert (config.lr, config.momentum, config.nesterov, config.weight_decay) == (0.1, 0.9, True, 1e-4)
        assert (config.boost_strength, config.boost_strength_factor, config.k_inference_factor) == (1, 1, 1)
        assert (config.dropout, config.weight_sparsity_fc, config.weight_sparsity_conv) == (0.5, 1, 1)
        assert config.sparsify
    assert (catalogue.config("MLP_1LayerSparse").hidden_units, catalogue.config("CNN").hidden_units) == (4000, 512)
    assert catalogue.config("MLP_2LayersSparse").hidden_layers == 2
    assert catalogue.config("MLP_1LayerSparse").percent_on_fc == 0.001
    assert (catalogue.config("CNNSparse").percent_on_fc, catalogue.config("CNNSparse").percent_on_conv) == (0.05, 0.05)
    assert catalogue.config("Cifar100Cumul").effective_benchmark == "iCIFAR100"
    assert catalogue.config("CNNCumul").effective_strategy == "joint"


def test_inheritance_across_files_nearest_wins() -> None:
    catalogue = load(a="A: {lr: 0.5, mb_size: 7}", b="B: {inherits: A, lr: 1e-3}\nC: {inherits: B, dropout: 0}")
    config = catalogue.config("C", {"mb_size": 9})
    assert (config.name, config.lr, config.mb_size, config.dropout) == ("C", 0.001, 9, 0.0)


def test_a_description_is_not_inherited() -> None:
    assert load(a="A: {description: text}\nB: {inherits: A}").config("B").description == ""


def test_what_is_wrong_names_file_and_key() -> None:
    assert problem(a="A: {percent_on_fc: 1.5}") == "mine/a.yaml: A.percent_on_fc: 1.5 is out of range: at most 1"
    assert problem(a="A: {lrr: 1}") == "mine/a.yaml: A.lrr: unknown parameter, did you mean lr?"
    assert problem("B", a="A: {lr: x}", b="B: {inherits: A}").startswith("mine/a.yaml: A.lr: 'x' is text")
    assert problem(a="A:", settings=()) == "mine/a.yaml: A: nothing (null): a mapping is needed"
    assert problem(a="A: {lr: 1}", settings=("lr=-1",)) == "--set lr: -1 is out of range: above 0"
    clash = problem("B", a="A: {cnn: true}", b="B: {inherits: A, benchmark: SplitDigits}")
    assert clash.startswith("mine/a.yaml: A.cnn: nothing is left")
    assert clash.endswith("(in B)")


def test_names_that_are_not_there() -> None:
    assert problem("MPL", a="MLP: {}") == "--name: unknown experiment 'MPL', did you mean MLP?"
    assert problem("x*", a="MLP: {}").startswith("--name: unknown experiment 'x*'")
    assert problem(a="A: {inherits: B}").startswith("mine/a.yaml: A.inherits: unknown experiment 'B'")
    assert problem(a="A: {}\nG: {group: [Ab]}").startswith("mine/a.yaml: G.group: unknown experiment 'Ab'")
    with pytest.raises(UserError, match="unknown experiment 'G'"):
        load(a="A: {}\nG: {group: [A]}").config("G")


def test_inheritance_in_a_circle_and_from_a_group() -> None:
    assert problem("A", a="A: {inherits: B}\nB: {inherits: A}").endswith("goes in a circle: A -> B -> A")
    assert problem("A", a="A: {inherits: A}").endswith("goes in a circle: A -> A")
    assert problem("B", a="A: {}\nG: {group: [A]}\nB: {inherits: G}").endswith("only experiments can be inherited from")


def test_duplicates() -> None:
    assert problem(a="A_tuned: {}", b="A_tuned: {}") == (
        "mine/b.yaml: A_tuned: there is one of that name in mine/a.yaml already: rename one of the two"
    )
    Path("mine/b.yaml").unlink()
    assert problem(a="A: {}\nA: {}") == "mine/a.yaml:2: 'A' is there twice"
    assert problem(a="A:\n  lr: 1\n  lr: 2") == "mine/a.yaml:3: 'lr' is there twice"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "mine/a.yaml: is empty"),
        ("# only a comment", "is empty"),
        ("- A", "is a list: a mapping from experiment names"),
        ("A: !!python/object/apply:os.system [ls]", "mine/a.yaml:1: the tag '!!python/object/apply:os.system'"),
        ("A: {}\nB: !mine {}", "mine/a.yaml:2: the tag '!mine' is not allowed"),
        ("A: [", "mine/a.yaml:1: "),
        ("A: {}\n---\nB: {}", "mine/a.yaml:2: "),
        ("A: {lr: 2024-13-45}", "month"),
        ("1: {}", "the name 1 is not text"),
        ("A: {1: 2}", "mine/a.yaml: A: the key 1 is not text"),
        ("'a/b': {}", "a name has up to 100 letters"),
        ("A: 5", "mine/a.yaml: A: 5 is a whole number: a mapping is needed"),
        ("A: {inherits: [B]}", "mine/a.yaml: A.inherits: ['B'] is a list: text is needed"),
        ("G: {group: A}", "mine/a.yaml: G.group: a list of experiments"),
        ("A: {}\nG: {group: [A], lr: 1}", "mine/a.yaml: G.lr: a group has only group and description"),
        ("A: {name: B}", "mine/a.yaml: A.name: an experiment is named by its key"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_files_that_are_not_what_they_should_be(text: str, words: str) -> None:
    assert words in problem(a=text)


def test_files_that_cannot_be_read() -> None:
    Path("mine/a.yaml").mkdir(parents=True)
    with pytest.raises(UserError, match=r"mine/a\.yaml: cannot be read"):
        load_experiments([Path("mine")])
    Path("b.yaml").write_bytes(b"A: \xff")
    with pytest.raises(UserError, match=r"b\.yaml: is not text in UTF-8"):
        load_experiments([Path("b.yaml")])
    Path("c.yaml").write_bytes(b"A: \x00")
    with pytest.raises(UserError, match=r"c\.yaml: "):
        load_experiments([Path("c.yaml")])


def test_patterns_groups_and_singles() -> None:
    catalogue = load(a="A1: {}\nA2: {}\nB: {}\nG: {group: ['A*']}")
    assert [[c.name for c in s.configs] for s in catalogue.select(["G"])] == [["A1", "A2"]]
    both = catalogue.select(["*"])
    assert [(s.title, [c.name for c in s.configs]) for s in both] == [("G", ["A1", "A2"]), ("B", ["B"])]
    [singles] = catalogue.select(["B", "A?"])
    assert (singles.title, [c.name for c in singles.configs]) == ("B+A?", ["B", "A1", "A2"])
    assert catalogue.select(["B"])[0].title == "B"
    assert len(catalogue.select(["B", "B"])[0].configs) == 1


def test_a_plan_runs_each_experiment_once() -> None:
    catalogue = load(a="A: {seeds: 2}\nB: {}\nG: {group: [A, B]}\nH: {group: [A]}")
    plan = RunPlan(tuple(catalogue.select(["G", "H"])))
    assert [(config.name, seed) for config, seed in plan.runs()] == [("A", 0), ("A", 1), ("B", 0)]
    assert RunPlan(plan.selections, seeds=(7,)).seeds_for(plan.selections[0].configs[0]) == (7,)


def test_local_experiments_win_over_the_shipped_ones() -> None:
    shipped = load_experiments()
    Path("exps").mkdir()
    Path("exps/mine.yaml").write_text("quickstart_dense: {lr: 0.25}\nMine: {inherits: MLP_1Layer}", encoding="utf-8")
    assert experiment_folders()[-1] == Path("exps").resolve()
    local = load_experiments()
    assert len(local.experiments) == len(shipped.experiments) + 1
    assert local.config("quickstart_dense").lr == 0.25
    assert local.config("Mine").hidden_units == 4000


def test_the_checkouts_own_folder_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert experiment_folders() == [ROOT / "exps"]


def test_overrides_are_read_as_in_a_file() -> None:
    read = parse_overrides(
        ["lr=1e-3", "cumul=true", "num_batch=null", "plugins=[{name: replay, mem_size: 5}]", "dataset=a=b"]
    )
    assert read == {
        "lr": 0.001,
        "cumul": True,
        "num_batch": None,
        "plugins": [{"name": "replay", "mem_size": 5}],
        "dataset": "a=b",
    }
    for bad in ("lr", "=1", "lr=[", "lr=!!python/name:os.system"):
        with pytest.raises(UserError, match="--set"):
            parse_overrides([bad])


FILE = "A: {plugins: [{name: replay, batch_size_mem: 8}]}\nB: {}\nC: {plugins: [{name: replay, mem_size: x}]}"


@pytest.mark.parametrize(
    ("name", "settings", "plugins"),
    [
        ("A", ("plugins.replay.mem_size=100",), [{"name": "replay", "mem_size": 100, "batch_size_mem": 8}]),
        ("B", ("plugins.replay.mem_size=100",), [{"name": "replay", "mem_size": 100, "batch_size_mem": None}]),
        ("C", ("plugins.replay.mem_size=9",), [{"name": "replay", "mem_size": 9, "batch_size_mem": None}]),
        (
            "A",
            ("plugins.replay.mem_size=7", "plugins=[{name: cumulative}]", "plugins.replay.batch_size_mem=3"),
            [{"name": "cumulative"}, {"name": "replay", "mem_size": 7, "batch_size_mem": 3}],
        ),
    ],
)
def test_an_argument_of_a_plugin_can_be_set_alone(name: str, settings: tuple[str, ...], plugins: list) -> None:
    assert load(a=FILE).config(name, parse_overrides(settings)).plugins == plugins


def test_an_entry_of_an_argument_that_is_a_mapping_can_be_set_alone() -> None:
    said = ("plugins.dynamic_connectivity.drop.random=0.4", "plugins.dynamic_connectivity.drop.magnitude=0.2")
    added = load(a=FILE).config("A", parse_overrides(said)).plugins[-1]["drop"]
    assert added == {"random": 0.4, "magnitude": 0.2}
    whole = ("plugins=[{name: dynamic_connectivity, drop: {random: 0.1, magnitude: 0.3}}]", said[0])
    assert load(a=FILE).config("A", parse_overrides(whole)).plugins[-1]["drop"] == {"random": 0.4, "magnitude": 0.3}
    wrong = problem("B", settings=("plugins.replay.mem_size.x=3",), a=FILE)
    assert wrong == "--set plugins.replay.mem_size.x: {'x': 3} is a mapping: a whole number is needed"


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (
            "plugins.rplay.mem_size=1",
            "--set plugins.rplay.mem_size: unknown plugin 'rplay', did you mean replay or dark_replay?",
        ),
        ("plugins.replay.memsize=1", "--set plugins.replay.memsize: unknown argument, did you mean mem_size?"),
        ("plugins.replay.mem_size=0", "--set plugins.replay.mem_size: 0 is out of range: at least 1"),
        ("plugins.cumulative.x=0", "--set plugins.cumulative.x: unknown argument: it takes none"),
        ("plugins.replay.name=x", "--set plugins.replay.name: is no argument: the plugin's name, replay, stands in"),
        ("num_tasks=3", "--set num_tasks: unknown parameter, did you mean num_batch?"),
        ("plugins.replay=3", "--set plugins.replay: plugins.replay.ARGUMENT=VALUE is needed"),
        ("plugins=[{name: replay, mem_size: 0}]", "--set plugins.replay.mem_size: 0 is out of range: at least 1"),
        (
            "plugins=[{name: orthogonal_weights, alpha: [0.1, x]}]",
            "--set plugins.orthogonal_weights.alpha.1: 'x' is text: a number is needed",
        ),
        (
            "plugins=[{name: orthogonal_weights, alpha: x}]",
            "--set plugins.orthogonal_weights.alpha: 'x' is text: a number is needed",
        ),
        ("plugin.replay.mem_size=3", "--set plugin.replay.mem_size: unknown parameter"),
    ],
)
def test_an_argument_that_cannot_be_is_one_line(setting: str, line: str) -> None:
    assert problem("B", settings=(setting,), a=FILE).startswith(line)


def test_a_plugins_argument_in_a_file_is_blamed_on_its_place() -> None:
    assert problem("C", a=FILE) == "mine/a.yaml: C.plugins.replay.mem_size: 'x' is text: a whole number is needed"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    Path("any.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    message = ""
    try:
        load_experiments([Path("any.yaml")])
    except UserError as error:
        message = str(error)
    assert message == "" or message.startswith("any.yaml")
