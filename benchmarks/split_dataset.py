"""Split streams of any data set, your own arrays and image folders included."""

from collections.abc import Sequence
from typing import ClassVar, Unpack

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
        n_tasks: must divide the number of classes; "task" and "domain" need two classes per task. None: the class's
            ``usual_tasks``.
        scenario: "task", "domain" or "class".
        dataset: a data set's name, for example "npz:embeddings.npz" or "image_folder:birds". None: the class's
            ``usual_dataset``; ``SplitDataset`` itself has none.
        class_order: "natural", "random" drawn with ``seed``, or a list of all classes.
        options: what all benchmarks share, see ``DataOptions``.

    Raises:
        UserError: see ``cl_sparse.data.load_data``; a number of tasks that does not fit; unknown scenario or order.
        TypeError: no data set.
    """

    usual_dataset: ClassVar[str | None] = None
    usual_tasks: ClassVar[int] = 5

    def __init__(
        self,
        n_tasks: int | None = None,
        scenario: str = "task",
        *,
        dataset: str | None = None,
        class_order: str | Sequence[int] = "natural",
        **options: Unpack[DataOptions],
    ) -> None:
        n_tasks = self.usual_tasks if n_tasks is None else n_tasks
        dataset = self.usual_dataset if dataset is None else dataset
        if dataset is None:
            raise TypeError(f"{type(self).__name__} needs a dataset")
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
            settings={"class_order": class_order if isinstance(class_order, str) else [int(c) for c in class_order]},
        )
