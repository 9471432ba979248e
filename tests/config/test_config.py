import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cl_sparse.config import PARAMETER_NAMES, ExperimentConfig, build_config
from cl_sparse.config.reference import parameters
from cl_sparse.errors import UserError

SOURCE_PARAMETERS = [
    "benchmark",
    "mnist_mode",
    "num_batch",
    "cumul",
    "sparsify",
    "percent_on_fc",
    "percent_on_conv",
    "k_inference_factor",
    "boost_strength",
    "boost_strength_factor",
    "duty_cycle_period",
    "weight_sparsity_fc",
    "weight_sparsity_conv",
    "cnn",
    "hidden_units",
    "hidden_layers",
    "dropout",
    "lr",
    "nesterov",
    "momentum",
    "weight_decay",
    "mb_size",
    "train_ep",
    "train_ep_inc",
    "record_stats",
]


def problem(**values: object) -> str:
    with pytest.raises(UserError) as caught:
        build_config("X", values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_defaults_are_valid_and_plain() -> None:
    config = ExperimentConfig()
    assert ExperimentConfig.model_validate(config.model_dump()) == config
    assert json.loads(json.dumps(config.model_dump())) == config.model_dump()


def test_every_parameter_of_the_source_is_there_with_a_description() -> None:
    assert set(SOURCE_PARAMETERS) <= set(PARAMETER_NAMES)
    assert all(parameter.description.endswith(".") for parameter in parameters())


def test_the_reference_shows_types_ranges_and_defaults() -> None:
    by_name = {parameter.name: parameter for parameter in parameters()}
    assert (by_name["percent_on_fc"].type, by_name["percent_on_fc"].default) == ("float > 0, ≤ 1", "1.0")
    assert (by_name["num_batch"].type, by_name["num_batch"].default) == ("int | null ≥ 1, ≤ 1000", "null")
    assert (by_name["heads"].type, by_name["nesterov"].default) == ("multi | single | null", "true")
    assert "name" not in by_name
    of_plugin = by_name["plugins.replay.batch_size_mem"]
    assert (of_plugin.type, of_plugin.default) == ("int | null ≥ 1, ≤ 1000000000", "null")
    assert by_name["plugins.replay.mem_size"].description.startswith("Samples kept")


def test_an_integer_is_a_float_but_nothing_else_is_converted() -> None:
    assert ExperimentConfig(dropout=0).dropout == 0.0
    assert isinstance(ExperimentConfig(dropout=0).dropout, float)
    assert problem(mb_size="5") == "X.mb_size: '5' is text: a whole number is needed"
    assert problem(mb_size=True) == "X.mb_size: true: a whole number is needed"
    assert problem(mb_size=1.0) == "X.mb_size: 1.0 is a number: a whole number is needed"
    assert problem(lr=True) == "X.lr: true: a number is needed"
    assert problem(lr="0.1") == "X.lr: '0.1' is text: a number is needed"
    assert problem(lr=None) == "X.lr: nothing (null): a number is needed"
    assert problem(cumul=1) == "X.cumul: 1 is a whole number: true or false is needed"
    assert problem(benchmark=[]) == "X.benchmark: [] is a list: text is needed"


@pytest.mark.parametrize(
    ("key", "value", "bound"),
    [
        ("percent_on_fc", 1.5, "at most 1"),
        ("percent_on_conv", 0, "above 0"),
        ("weight_sparsity_fc", -0.1, "above 0"),
        ("lr", -1, "above 0"),
        ("lr", 0, "above 0"),
        ("mb_size", 0, "at least 1"),
        ("hidden_units", -5, "at least 1"),
        ("hidden_layers", -1, "at least 0"),
        ("dropout", 1, "below 1"),
        ("momentum", 1.0, "below 1"),
        ("weight_decay", -1e-4, "at least 0"),
        ("validation", 1.0, "below 1"),
        ("train_ep", 0, "at least 1"),
        ("eval_every", 0, "at least 1"),
        ("num_batch", 0, "at least 1"),
        ("seeds", 0, "at least 1"),
        ("duty_cycle_period", 0, "at least 1"),
    ],
)
def test_out_of_range(key: str, value: float, bound: str) -> None:
    assert problem(**{key: value}) == f"X.{key}: {value!r} is out of range: {bound}"


def test_where_weights_live_goes_with_sparse_weights() -> None:
    sparse = {"sparsify": True, "weight_sparsity_fc": 0.5}
    for values, said in (
        ({"weight_distribution": "uniform"}, "weight_distribution: is of sparse weights: sparsify"),
        ({"sparsify": True, "weight_sparsity_conv": 0.5, "weight_distribution": "uniform"}, "with a weight_sparsity"),
        ({**sparse, "weight_epsilon": 5.0}, "weight_epsilon: is for weight_distribution erdos_renyi"),
        ({**sparse, "weight_count": "bernoulli"}, "weight_count: bernoulli needs another weight_distribution"),
        (
            {"sparsify": True, "sparsify_head": True},
            "sparsify_head: true needs sparsify, and weight_sparsity_fc below 1",
        ),
    ):
        assert said in problem(**values)
    build_config("X", {**sparse, "weight_distribution": "erdos_renyi", "weight_epsilon": 5.0, "sparsify_head": True})


def test_only_winners_are_annealed() -> None:
    annealed = {"plugins": [{"name": "anneal_winners"}]}
    for dense in ({}, {"sparsify": True}, {"percent_on_fc": 0.1}, {"sparsify": True, "percent_on_conv": 0.1}):
        assert "plugins: anneal_winners needs k-winners" in problem(**annealed, **dense)
    build_config("X", {**annealed, "sparsify": True, "percent_on_fc": 0.1})
    build_config("X", {**annealed, "sparsify": True, "cnn": True, "percent_on_conv": 0.1})


def test_a_net_without_hidden_layers_has_none_to_make_sparse() -> None:
    assert "sparsify: is of hidden layers, and there is none" in problem(hidden_layers=0, sparsify=True)
    build_config("X", {"hidden_layers": 0})
    build_config("X", {"hidden_layers": 0, "sparsify": True, "weight_sparsity_fc": 0.5, "sparsify_head": True})
    build_config("X", {"hidden_layers": 0, "sparsify": True, "cnn": True})


@pytest.mark.parametrize("key", ["lr", "mb_size", "hidden_units", "num_batch", "train_subset"])
def test_absurdly_large_numbers(key: str) -> None:
    assert problem(**{key: 10**400}).startswith(f"X.{key}: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", ["lr", "dropout", "weight_decay", "k_inference_factor", "max_angle"])
def test_only_finite_numbers(key: str, value: float) -> None:
    assert problem(**{key: value}).startswith(f"X.{key}: ")


def test_unknown_names_get_the_nearest_one() -> None:
    assert (
        problem(percent_onfc=1) == "X.percent_onfc: unknown parameter, did you mean percent_on_fc or percent_on_conv?"
    )
    assert problem(benchmark="SplitMNST").startswith("X.benchmark: unknown benchmark 'SplitMNST', did you mean SplitMN")
    assert problem(strategy="sequental") == "X.strategy: unknown strategy 'sequental', did you mean sequential?"
    assert (
        problem(plugins=[{"name": "repla"}]) == "X.plugins: unknown plugin 'repla', did you mean replay or dark_replay?"
    )
    for short, name in {"ewc": "elastic_weights", "A-GEM": "averaged_gradient", "DER++": "dark_replay"}.items():
        assert problem(plugins=[{"name": short}]).endswith(f"did you mean {name}?")
    assert problem(dataset="fashionmnist").endswith("did you mean fashion_mnist?")
    assert problem(heads="many") == "X.heads: 'many' is not one of 'multi' or 'single'"
    assert "key in the file" in problem(name="Y")


def test_a_plugin_is_a_mapping_with_a_name() -> None:
    assert problem(plugins=[{"name": "replay"}, {"name": "replay"}]) == "X.plugins: replay is there twice"
    assert problem(plugins=[{"name": ["replay"]}]).startswith("X.plugins: unknown plugin ['replay']")
    assert problem(plugins=["replay"]) == "X.plugins.0: 'replay' is text: a mapping is needed"
    assert problem(plugins=[{"mem_size": 5}]) == "X.plugins: {'mem_size': 5} has no name"
    assert build_config("X", {"plugins": [{"name": "replay", "mem_size": 5}]}).plugins[0]["mem_size"] == 5


@pytest.mark.parametrize(
    ("values", "key", "words"),
    [
        ({"benchmark": "SplitMNIST", "num_batch": 6}, "num_batch", "6 does not divide the 10 classes of mnist"),
        ({"benchmark": "SplitMNIST", "num_batch": 6}, "num_batch", "choose 1, 2 or 5"),
        ({"benchmark": "SplitDigits", "num_batch": 10}, "num_batch", "a single one of the 10 classes"),
        ({"benchmark": "SplitDigits", "scenario": "class", "num_batch": 3}, "num_batch", "choose 1, 2, 5 or 10"),
        ({"benchmark": "iCIFAR100", "num_batch": 7}, "num_batch", "choose 1, 2, 4, 5, 10, 20, 25 or 50"),
        ({"benchmark": "mnist"}, "mnist_mode", "perm or split"),
        ({"benchmark": "SplitMNIST", "mnist_mode": "split"}, "mnist_mode", "mnist only"),
        ({"benchmark": "cifar", "num_batch": 7}, "num_batch", "5 (CIFAR-10) or 10 (CIFAR-100)"),
        ({"benchmark": "PermutedDigits", "cnn": True}, "cnn", "nothing is left of the 8x8 pixels of digits"),
        ({"dataset": "digits", "cnn": True}, "cnn", "nothing is left of the 8x8 pixels of digits"),
        ({"benchmark": "SplitDataset"}, "dataset", "npz:"),
        ({"benchmark": "SplitDataset", "dataset": "npz:"}, "dataset", "after the colon"),
        ({"benchmark": "iCIFAR10", "dataset": "mnist"}, "dataset", "always uses cifar10"),
        ({"scenario": "class"}, "scenario", "domain or task"),
        ({"heads": "multi"}, "heads", "needs scenario task"),
        ({"benchmark": "SplitMNIST", "loss_outputs": "seen"}, "loss_outputs", "scenario class only"),
        ({"class_order": "random"}, "class_order", "null"),
        ({"max_angle": 45}, "max_angle", "null"),
        ({"cumul": True, "strategy": "replay"}, "cumul", "replay"),
        ({"momentum": 0}, "nesterov", "momentum above 0"),
        ({"sparsify": True, "hidden_units": 100, "percent_on_fc": 0.001}, "percent_on_fc", "no unit"),
        ({"sparsify": True, "cnn": True, "percent_on_conv": 0.001}, "percent_on_conv", "no channel"),
    ],
)
def test_impossible_combinations_blame_one_key(values: dict[str, object], key: str, words: str) -> None:
    message = problem(**values)
    assert message.startswith(f"X.{key}: ")
    assert words in message


def test_a_users_own_data_is_left_to_the_benchmark() -> None:
    build_config("X", {"benchmark": "SplitDataset", "dataset": "npz:a.npz", "num_batch": 7, "cnn": True})


@pytest.mark.parametrize(
    ("values", "benchmark"),
    [
        ({"benchmark": "mnist", "mnist_mode": "perm"}, "PermutedMNIST"),
        ({"benchmark": "mnist", "mnist_mode": "split"}, "SplitMNIST"),
        ({"benchmark": "cifar"}, "iCIFAR10"),
        ({"benchmark": "cifar", "num_batch": 5}, "iCIFAR10"),
        ({"benchmark": "cifar", "num_batch": 10}, "iCIFAR100"),
        ({"benchmark": "RotatedMNIST"}, "RotatedMNIST"),
    ],
)
def test_the_sources_benchmarks_are_translated(values: dict[str, object], benchmark: str) -> None:
    assert build_config("X", values).effective_benchmark == benchmark


def test_what_null_stands_for() -> None:
    permuted, split = ExperimentConfig(), ExperimentConfig(benchmark="SplitMNIST")
    assert (permuted.effective_scenario, permuted.effective_heads) == ("domain", "single")
    assert (split.effective_scenario, split.effective_heads) == ("task", "multi")
    assert ExperimentConfig(scenario="task").effective_heads == "single"
    assert ExperimentConfig(benchmark="SplitMNIST", scenario="class").effective_heads == "single"
    assert [ExperimentConfig(train_ep=3).epochs(task) for task in (0, 4)] == [3, 3]
    assert [ExperimentConfig(train_ep=3, train_ep_inc=1).epochs(task) for task in (0, 4)] == [3, 1]


def test_cumul_is_the_joint_strategy() -> None:
    assert ExperimentConfig(cumul=True).effective_strategy == "joint"
    assert ExperimentConfig(cumul=True, strategy="cumulative").effective_strategy == "cumulative"
    assert ExperimentConfig().effective_strategy == "sequential"


def test_the_benchmark_gets_only_what_was_chosen() -> None:
    config = ExperimentConfig(benchmark="SplitMNIST", num_batch=5, class_order="random")
    assert config.benchmark_args() == {
        "n_tasks": 5,
        "class_order": "random",
        "normalize": "standard",
        "validation": 0.0,
    }


def test_identity_ignores_what_does_not_change_a_run() -> None:
    assert ExperimentConfig(seeds=1, description="a").identity() == ExperimentConfig(seeds=3).identity()
    assert ExperimentConfig(lr=0.2).identity() != ExperimentConfig().identity()


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        ExperimentConfig().lr = 1.0


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.just("name") | st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from([*PARAMETER_NAMES, "nonsense", ""]), _JUNK, max_size=3))
def test_any_input_is_either_accepted_or_refused_in_one_line(values: dict[str, object]) -> None:
    message = ""
    try:
        config = build_config("X", values)
    except UserError as error:
        message = str(error)
    else:
        assert ExperimentConfig.model_validate(config.model_dump()) == config
    assert message == "" or message.startswith("X.")
    assert len(message.splitlines()) <= 1


def test_a_config_knows_where_its_parameters_were_set() -> None:
    config = build_config("mine", {"lr": 1}, {"": "a.yaml: mine", "lr": "--set lr"})
    assert (config.place("lr"), config.place("mb_size")) == ("--set lr", "a.yaml: mine.mb_size")
    assert build_config("mine", {}).place("lr") == "mine.lr"
