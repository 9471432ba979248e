"""What the arguments of Avalanche's benchmark generators are called here."""

from collections.abc import Iterable

COUNTERPARTS = {
    "n_experiences": "n_tasks",
    "return_task_id": 'scenario: "task" tells the task\'s label, "domain" and "class" do not',
    "fixed_class_order": "class_order=[...]",
    "shuffle": 'class_order: "random" or "natural"',
    "class_ids_from_zero_in_each_exp": 'scenario: "task" and "domain" have labels from 0 in each task',
    "class_ids_from_zero_from_first_exp": 'scenario: labels of "class" are the original classes, whatever their order',
    "first_exp_with_half_classes": "n_tasks alone: all tasks have equally many classes",
    "rotations_list": "angles=[...] of RotatedMNIST",
    "train_transform": 'normalize, or a benchmark of your own (docs/how_it_is_built.md, "Add a benchmark")',
    "eval_transform": 'normalize, or a benchmark of your own (docs/how_it_is_built.md, "Add a benchmark")',
    "dataset_root": "data_root",
}


def unknown_arguments(name: str, unknown: Iterable[str]) -> str:
    """Return, in one line, that a benchmark has no such arguments, and what those of Avalanche's are called here."""
    told = [f"{key} (here: {COUNTERPARTS[key]})" if key in COUNTERPARTS else key for key in sorted(unknown)]
    return f"{name} has no argument {', '.join(told)}"
