"""The typed model of an experiment, its rules, experiments by name, the registry. Nothing here imports torch."""

from cl_sparse.config.model import PARAMETER_NAMES, ExperimentConfig, build_config

__all__ = ["PARAMETER_NAMES", "ExperimentConfig", "build_config"]
