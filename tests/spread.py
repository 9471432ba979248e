"""What the processes that share the cores agree on; imported before torch, which reads it when it is loaded."""

import os

SPREAD = "PYTEST_XDIST_WORKER" in os.environ

# Threads that spin while they wait make the compiled loops several times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if SPREAD:
    os.environ["OMP_NUM_THREADS"] = "1"  # one thread for each worker and for the commands that it starts
