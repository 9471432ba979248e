"""Tables, figures and the generated parts of the documents: everything from result files, nothing typed."""

from cl_sparse.report.figures import accuracy_matrix_png, accuracy_over_tasks_png
from cl_sparse.report.rows import Group, Result, Row, data_fingerprint, group_results, row_of, rows_of, slim
from cl_sparse.report.table import markdown_table, print_table

__all__ = [
    "Group",
    "Result",
    "Row",
    "accuracy_matrix_png",
    "accuracy_over_tasks_png",
    "data_fingerprint",
    "group_results",
    "markdown_table",
    "print_table",
    "row_of",
    "rows_of",
    "slim",
]
