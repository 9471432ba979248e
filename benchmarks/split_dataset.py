"""Split streams of any data set, your own arrays and image folders included."""

from typing import Unpack

from benchmarks.base import SCENARIOS, Benchmark, DataOptions, prepare
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
        options: what all benchmarks share, see ``DataOptions``.

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
        **options: Unpack[DataOptions],
    ) -> None:
        name = f"split_{dataset}"
        data = prepare(name, dataset, scenario, SCENARIOS, n_tasks, options)
        classes = split_classes(
            len(data.class_names),
            n_tasks,
            class_order=class_order,
            scenario=scenario,
            seed=options.get("seed", 0),
            dataset=dataset,
        )
        super().__init__(
            data,
            name=name,
            scenario=scenario,
            task_classes=classes,
            options=options,
            settings={"class_order": class_order},
        )
