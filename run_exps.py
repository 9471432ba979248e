"""Run experiments: `python run_exps.py --name NAME`. The same as `cl-sparse run`."""

import sys

try:
    from cl_sparse.start import main
except KeyboardInterrupt:  # before the program can answer it
    sys.stderr.write("interrupted\n")
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
