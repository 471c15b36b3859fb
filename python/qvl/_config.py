"""The configuration that an argument stands for."""
from __future__ import annotations

import reprlib

from ._core import SystemOptimizationConfig
from ._errors import UsageError


def config_for(config: SystemOptimizationConfig | None) -> SystemOptimizationConfig:
    """None: what fits this machine. Raises UsageError where it is something else."""
    if config is None:
        return SystemOptimizationConfig.for_this_machine()
    if not isinstance(config, SystemOptimizationConfig):
        raise UsageError(f"config: found {reprlib.repr(config)}, expected a SystemOptimizationConfig or None")
    return config
