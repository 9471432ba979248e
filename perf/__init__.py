"""Speed and memory, side by side with the peers, as ratios. `python -m perf` runs every case."""
