"""How classes and rows are dealt out to tasks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cl_sparse.errors import SettingError
from cl_sparse.seeding import derive_seed


def split_classes(
    n_classes: int, n_tasks: int, *, class_order: str | Sequence[int], scenario: str, seed: int, dataset: str
) -> list[list[int]]:
    """Deal the classes out to tasks, equally many to each.

    Args:
        n_classes: of the data set.
        n_tasks: must divide ``n_classes``; task- and domain-incremental tasks need two classes or more.
        class_order: "natural" (0, 1, 2, ...), "random" (drawn with ``seed``), or all classes in the order they come in.
        scenario: "task", "domain" or "class".
        seed: the run's seed.
        dataset: its name, for the message.

    Returns:
        original classes per task.

    Raises:
        SettingError: ``n_tasks`` does not fit, there are too few classes for any task, or ``class_order`` is unknown or
            no order of all classes.
    """
    fewest = 1 if scenario == "class" else 2
    if n_classes < fewest:
        raise SettingError("dataset", f"{dataset} has a single class, and a task of scenario {scenario} needs two")
    possible = [t for t in range(1, n_classes // fewest + 1) if n_classes % t == 0]
    if n_tasks not in possible:
        why = "does not divide" if n_classes % n_tasks else "leaves fewer than two per task of"
        choices = " or ".join(filter(None, [", ".join(map(str, possible[:-1])), str(possible[-1])]))
        raise SettingError("num_batch", f"{n_tasks} {why} the {n_classes} classes of {dataset}: choose {choices}")
    order = _ordered(n_classes, class_order, seed, dataset)
    size = n_classes // n_tasks
    return [order[start : start + size] for start in range(0, n_classes, size)]


def _ordered(n_classes: int, class_order: str | Sequence[int], seed: int, dataset: str) -> list[int]:
    """Return the classes in the order in which they are dealt out."""
    if class_order == "natural":
        return list(range(n_classes))
    if class_order == "random":
        generator = torch.Generator().manual_seed(derive_seed(seed, "class_order"))
        drawn: list[int] = torch.randperm(n_classes, generator=generator).tolist()
        return drawn
    if isinstance(class_order, str):
        raise SettingError("class_order", f"{class_order!r} is unknown; choose natural or random")
    order = [-1 if isinstance(c, str) else int(c) for c in class_order]
    if sorted(order) != list(range(n_classes)):
        raise SettingError(
            "class_order",
            f"a list has to hold each class of {dataset}, 0 to {n_classes - 1}, once; it has {len(order)} "
            f"entries, {len({*order} & {*range(n_classes)})} of the {n_classes} classes",
        )
    return order


def label_table(task_classes: Sequence[Sequence[int]], n_classes: int, *, original: bool) -> Tensor:
    """Return (n_tasks, n_classes) int64: each class's label in each task, -1 where a task lacks the class.

    Args:
        task_classes: original classes per task.
        n_classes: of the data set.
        original: the label is the class itself; otherwise its place in the task's list.
    """
    table = torch.full((len(task_classes), n_classes), -1)
    for task, classes in enumerate(task_classes):
        table[task, list(classes)] = torch.tensor(classes) if original else torch.arange(len(classes))
    return table


def rows_of_tasks(y: Tensor, task_classes: Sequence[Sequence[int]], among: Tensor) -> list[Tensor]:
    """Return, per task, the rows among ``among`` whose class belongs to it; the same tensor for the same classes."""
    chosen: dict[frozenset[int], Tensor] = {}
    for classes in map(frozenset, task_classes):
        if classes not in chosen:
            chosen[classes] = among[torch.isin(y[among], torch.tensor(sorted(classes)))]
    return [chosen[frozenset(classes)] for classes in task_classes]
