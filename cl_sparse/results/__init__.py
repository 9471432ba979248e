"""Result files: written atomically, named safely, and read without trusting them. No torch."""

from cl_sparse.results.complete import load_complete_result
from cl_sparse.results.files import (
    ResultName,
    file_name_of,
    find_results,
    json_text,
    load_result,
    pack_results,
    parse_file_name,
    prepare_results_dir,
    save_result,
    timestamp,
)
from cl_sparse.results.moving import move_results
from cl_sparse.results.writing import write_atomically

__all__ = [
    "ResultName",
    "file_name_of",
    "find_results",
    "json_text",
    "load_complete_result",
    "load_result",
    "move_results",
    "pack_results",
    "parse_file_name",
    "prepare_results_dir",
    "save_result",
    "timestamp",
    "write_atomically",
]
