"""Run experiments: `python run_exps.py --name NAME`. The same as `cl-sparse run`."""

import sys

from cl_sparse.start import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
