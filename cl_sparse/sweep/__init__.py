"""Sweeps: many settings of experiments, run as trials, chosen among by validation, reported on test data."""
