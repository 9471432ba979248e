"""Split streams of any data set, your own arrays and image folders included."""

from pathlib import Path

from benchmarks.base import SCENARIOS, Benchmark, prepare
from benchmarks.splits import split_classes


class SplitDataset(Benchmark):
    """The classes of a data set, dealt out to tasks.

    A task is all samples of its classes; every task has equally many classes and no class is in two tasks. Scenarios:

    - "task": labels 0 .. k-1 within the task; the task is known at test, so each task may have its own head, or a
      single head is masked to the task's classes.
    - "domain": labels 0 .. k-1 within the task, one head of k outputs for all tasks, the task is unknown at test.
    - "class": labels are the original classes, one head for all classes, the task is unknown at test.

    Args:
        n_tasks: must divide the number of classes; "task" and "domain" need two classes per task.
        dataset: a data set's name, for example "npz:embeddings.npz" or "image_folder:birds".
        scenario: "task", "domain" or "class".
        class_order: "natural", or "random" drawn with ``seed``.
        seed: draws a random class order, the validation split and the subsets.
        validation: share of each class's training samples kept for validation, [0, 1).
        data_root: folder of the data sets.
        train_subset, test_subset: class-balanced sizes over the whole data set, None for all.

    Raises:
        UserError: see ``cl_sparse.data.load_data``; a number of tasks that does not fit; unknown scenario or order.
    """

    def __init__(
        self,
        n_tasks: int = 5,
        scenario: str = "task",
        *,
        dataset: str,
        class_order: str = "natural",
        seed: int = 0,
        validation: float = 0.0,
        data_root: Path | str | None = None,
        train_subset: int | None = None,
        test_subset: int | None = None,
    ) -> None:
        name = f"split_{dataset}"
        data = prepare(name, dataset, scenario, SCENARIOS, n_tasks, data_root, train_subset, test_subset, seed)
        classes = split_classes(
            len(data.class_names), n_tasks, class_order=class_order, scenario=scenario, seed=seed, dataset=dataset
        )
        super().__init__(
            data,
            name=name,
            scenario=scenario,
            task_classes=classes,
            seed=seed,
            validation=validation,
            settings={"class_order": class_order, "train_subset": train_subset, "test_subset": test_subset},
        )
