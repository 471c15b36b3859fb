"""The configuration that an argument stands for."""
from __future__ import annotations

from ._arguments import check, kind_of
from ._core import SystemOptimizationConfig


def config_for(config: SystemOptimizationConfig | None) -> SystemOptimizationConfig:
    """None: what fits this machine. Raises UsageError where it is something else."""
    if config is None:
        return SystemOptimizationConfig.for_this_machine()
    check("config", config, kind_of(SystemOptimizationConfig | None))
    return config
