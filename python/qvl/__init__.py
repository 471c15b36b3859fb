"""Qwen3-VL on the machine a person has, and the parts that share that machine out.

    >>> import qvl
    >>> model = qvl.load_model("models/shapes")
    >>> qvl.Conversation(model).ask("What is this?", images=["examples/blue-heart.png"]).text

Everything that computes or waits releases the interpreter's lock. Errors are subclasses of qvl.Error and of the builtin
exception that fits: qvl.UsageError is a ValueError, qvl.LimitError a MemoryError.
"""
import atexit as _atexit

from . import _core, _signatures
from ._core import (
    Answer, EnergyMeter, InferenceEvent, MediumReport, ResourceScheduler, SystemOptimizationConfig, SystemProfiler, Timings,
    Tokenizer, Usage)
from ._errors import CancelledError, Error, LimitError, MachineError, MediaError, ModelError, UsageError
from ._memory import MemoryManager
from ._model import Conversation, Model, load_model, load_tokenizer, plan
from ._optimizer import SystemOptimizer
from ._pipeline import InferenceStream, OptimizedInferencePipeline, apply_system_level_optimizations
from ._threads import ThreadManager
from ._transformers import from_transformers

__version__ = "0.1.0"
__all__ = [
    "Answer", "CancelledError", "Conversation", "EnergyMeter", "Error", "InferenceEvent", "InferenceStream", "LimitError",
    "MachineError", "MediaError", "MediumReport", "MemoryManager", "Model", "ModelError", "OptimizedInferencePipeline",
    "ResourceScheduler", "SystemOptimizationConfig", "SystemOptimizer", "SystemProfiler", "ThreadManager",
    "Timings", "Tokenizer", "Usage", "UsageError", "apply_system_level_optimizations", "from_transformers", "hardware_info",
    "load_model", "load_tokenizer", "plan",
]

hardware_info = _signatures.hardware_info

for _type in (Answer, EnergyMeter, InferenceEvent, MediumReport, ResourceScheduler, SystemOptimizationConfig, SystemProfiler,
              Timings, Tokenizer, Usage):
    _type.__module__ = "qvl"
# Not through a function of Python: an interrupt may come before its first line.
_atexit.register(_core.end_threads)
