"""What the extension module has. Names without an entry in qvl.__all__ are the package's own."""
import os
from typing import Any, Callable, Literal

import numpy

Path = str | os.PathLike[str]
ResourceKind = Literal["compute", "memory", "io", "gpu_memory"]


class SystemOptimizationConfig:
    """How qvl may use the machine. Every field is a keyword argument and an attribute; one that is unknown or out of its
    range raises UsageError, a ValueError, that names field, value and range."""

    num_compute_threads: int
    """Threads that compute, at most as many as there are processors to use: 1 to 1024, default 4."""
    num_io_threads: int
    """Threads that write what is kept on disk of pictures and prompts: 1 to 1024, default 2."""
    num_preprocess_threads: int
    """Threads that decode pictures and tokenise: 1 to 1024, default 4."""
    thread_priority: int
    """Of the threads that compute: 0 normal, 1 above normal (default), 2 high."""
    @property
    def cpu_affinity_mask(self) -> int | None:
        """Processors to use, a bit for each; None (default): all this process may use. Also takes "0xff"."""
    @cpu_affinity_mask.setter
    def cpu_affinity_mask(self, value: int | str | None) -> None: ...
    scheduler_policy: Literal["performance", "balanced", "power_save"]
    """How hard the machine is driven; default performance."""
    memory_limit_ratio: float
    """Share of the memory this process may use that is never passed: 0.05 to 1, default 0.8."""
    memory_pool_size: int
    """Bytes of memory kept for reuse: 0 to 2**50, default 2**28."""
    memory_cleanup_interval: int
    """Operations from one clean-up of memory to the next: 1 to 1,000,000, default 10."""
    enable_profiling: bool
    """Sample the use of the machine; default True."""
    profile_interval: float
    """Seconds between two samples: 0.01 to 3600, default 1. The profiler takes at least 0.05."""
    profile_memory: bool
    """Sample memory; default True."""
    profile_compute: bool
    """Sample processors; default True."""
    resource_scheduling_enabled: bool
    """Admit requests by what they need; off: in order of arrival. Default True."""
    scheduling_algorithm: Literal["round_robin", "priority", "load_balanced"]
    """Which request gets the next step; default round_robin."""
    resource_reservation_ratio: float
    """Share of each resource that requests may hold together: 0.05 to 1, default 0.7."""
    dynamic_resource_adjustment: bool
    """Adapt threads and budgets to the load while running; default True."""
    optimization_level: int
    """0 baseline, 1 exact, 2 8-bit weights, 3 4-bit weights and all caches (default)."""

    def __init__(
        self, *, num_compute_threads: int = 4, num_io_threads: int = 2, num_preprocess_threads: int = 4,
        thread_priority: int = 1, cpu_affinity_mask: int | str | None = None,
        scheduler_policy: Literal["performance", "balanced", "power_save"] = "performance",
        memory_limit_ratio: float = 0.8, memory_pool_size: int = 268435456, memory_cleanup_interval: int = 10,
        enable_profiling: bool = True, profile_interval: float = 1.0, profile_memory: bool = True,
        profile_compute: bool = True, resource_scheduling_enabled: bool = True,
        scheduling_algorithm: Literal["round_robin", "priority", "load_balanced"] = "round_robin",
        resource_reservation_ratio: float = 0.7, dynamic_resource_adjustment: bool = True, optimization_level: int = 3,
    ) -> None: ...
    @staticmethod
    def for_this_machine() -> SystemOptimizationConfig:
        """Filled from the processors and the memory this process may use."""
    @staticmethod
    def from_dict(values: dict[str, Any]) -> SystemOptimizationConfig:
        """Fields that are not given have their defaults."""
    @staticmethod
    def from_json(text: str) -> SystemOptimizationConfig: ...
    @staticmethod
    def from_file(path: Path) -> SystemOptimizationConfig:
        """Of a JSON file of at most 1 MiB."""
    @staticmethod
    def describe() -> dict[str, tuple[str, str]]:
        """What each field may be, and its line of help."""
    def to_dict(self) -> dict[str, Any]: ...
    def to_json(self) -> str: ...
    def replace(self, **fields: Any) -> SystemOptimizationConfig:
        """A copy with these fields changed."""
    def __copy__(self) -> SystemOptimizationConfig: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> SystemOptimizationConfig: ...


class SystemProfiler:
    """Samples the machine beside whatever else runs, into a history of at most 600 samples. Thread-safe."""

    def __init__(self, config: SystemOptimizationConfig | None = None) -> None: ...
    def start_profiling(self) -> bool:
        """Samples from now on; False, and nothing happens, where enable_profiling is off."""
    def stop_profiling(self) -> None:
        """Keeps the samples."""
    @property
    def profiling(self) -> bool: ...
    def get_current_profile(self) -> dict[str, Any]:
        """The latest sample while profiling, else one taken now and kept: time_s, cost_ms, cpu, memory, pressure, disks,
        network, frequencies, temperatures, power, energy, gpus. What is not known has no key."""
    @property
    def profiles(self) -> list[dict[str, Any]]:
        """The samples, oldest first."""
    def get_system_summary(self) -> dict[str, Any]:
        """profiling, samples, seconds, cost, and avg_ and max_ of cpu_percent, own_cpu_percent, foreign_cpu_percent,
        memory_percent, rss_memory_mb, gpu_percent, gpu_memory_allocated_mb (whoever has it), own_gpu_memory_mb; latest, a
        sample. None where no sample tells."""
    def get_hardware_info(self) -> dict[str, Any]:
        """As hardware_info()."""


class EnergyMeter:
    """What the processors of this machine use, whoever computes. Thread-safe."""

    def __init__(self) -> None:
        """Counts from now on."""
    def advance(self) -> None:
        """Reads the counters; to be called before any of them has gone through its range, about an hour of a busy package."""
    def joules(self) -> float | None:
        """Reads them as well: what was used since it was made; None where this process may not read them."""


class ResourceScheduler:
    """Resources that are asked for, granted in the order of scheduling_algorithm, and given back. Kinds: compute
    (thousandths of a processor), memory (bytes), io (operations in flight), gpu_memory (bytes). At most
    resource_reservation_ratio of each may be held together. No call waits. Thread-safe."""

    def __init__(self, config: SystemOptimizationConfig | None = None, capacities: dict[ResourceKind, int] = ...) -> None:
        """capacities: of kinds that differ from what this machine has."""
    def request_resources(self, kind: ResourceKind, amount: int, priority: int = 0) -> int:
        """Asks for an amount from 1 to what may be held; priority 0 to 9, the most urgent last. Returns a ticket. Raises
        UsageError, or LimitError where 1,024 requests wait."""
    def allocate_resources(self) -> tuple[ResourceKind, int] | None:
        """The next grant, which is held until it is released; None where none fits or none waits."""
    def release_resources(self, kind: ResourceKind, amount: int) -> None:
        """Raises UsageError for more than is held."""
    def cancel_request(self, ticket: int) -> bool:
        """Takes a request back that was not granted; False where there is none."""
    def get_resource_status(self) -> dict[str, Any]:
        """resource_usage {kind: held, limit, capacity}, resource_reservation_ratio, scheduling_algorithm, queue_sizes."""


class Tokenizer:
    """The tokenizer of a checkpoint. Thread-safe."""

    def tokenize(self, text: str, control: Literal["spelled_out", "parsed"] = "spelled_out") -> list[int]:
        """Ids of a text. control: whether "<|im_start|>" in it is those twelve characters or that control token."""
    def detokenize(self, tokens: list[int]) -> str:
        """The text of all tokens, control tokens included; UsageError for an id beyond the vocabulary."""


class Usage:
    """Tokens of one answer."""

    @property
    def prompt_tokens(self) -> int:
        """All of the prompt, media included."""
    @property
    def image_tokens(self) -> int:
        """Of these, tokens of pictures and videos."""
    @property
    def cached_tokens(self) -> int:
        """Of these, kept from earlier turns."""
    @property
    def completion_tokens(self) -> int: ...


class Timings:
    """Seconds of one answer."""

    @property
    def load_s(self) -> float: ...
    @property
    def preprocess_s(self) -> float: ...
    @property
    def vision_s(self) -> float: ...
    @property
    def prefill_s(self) -> float: ...
    @property
    def decode_s(self) -> float: ...
    @property
    def time_to_first_token_s(self) -> float:
        """From the call to the first token, load excluded."""


class MediumReport:
    """A picture or video of a turn."""

    @property
    def path(self) -> str:
        """As given; of a picture that is no file its place, "images[0]"."""
    @property
    def features(self) -> Literal["computed", "memory", "disk", "not_needed"]:
        """Where its features came from; not needed: keys and values of all its tokens were kept."""


class Answer:
    """What a model answered. str() of it is the text."""

    @property
    def text(self) -> str: ...
    @property
    def tokens(self) -> list[int]:
        """As sampled, without the end token."""
    @property
    def finish_reason(self) -> Literal["stop", "length", "cancelled", "deadline"]: ...
    @property
    def end_token(self) -> int | None:
        """The token that ended it, where one did."""
    @property
    def usage(self) -> Usage: ...
    @property
    def timings(self) -> Timings: ...
    @property
    def media(self) -> list[MediumReport]:
        """Those of the turn: pictures, then videos."""


class InferenceEvent:
    """Something that became known of a request."""

    @property
    def kind(self) -> Literal["admitted", "text", "finished"]:
        """It takes part in steps; there is more of the answer; the result is there."""
    @property
    def text(self) -> str:
        """Complete characters; "" where a token ends inside of one."""
    @property
    def tokens(self) -> int:
        """Of the answer so far."""


def hardware_info() -> dict[str, Any]:
    """cpu_count (logical), cpu_count_physical, cpu_count_performance, cpu_packages, numa_nodes, cpu_caches,
    instruction_sets, cpu_budget_threads, cpu_budget_cause, cpu_quota, memory_total_gb, memory_available_gb,
    memory_budget_gb, memory_budget_cause (units of 2^30 bytes), memory_read_gb_s and int8_gop_s (by instruction set) as a
    plan has measured them, disks, gpu_info (a list), gpu_problem, pressure_files.
    What the machine does not tell is None."""


class WeightPrecision: ...
class KvPrecision: ...
class Measure: ...
class VideoPrompt: ...
class PromptForm: ...
class RequestClass: ...
class LoadOptions: ...
class LogitsRequest: ...
class GenerationOptions: ...
class ConversationOptions: ...
class Picture:
    def __init__(self, path: Path) -> None: ...
    @staticmethod
    def of_file(name: str, file: bytes | bytearray | memoryview) -> Picture: ...
    @staticmethod
    def of_array(name: str, samples: numpy.ndarray) -> Picture: ...
    @staticmethod
    def of_rows(name: str, width: int, height: int, rows: Callable[[int, int], bytes]) -> Picture: ...


class InferenceRequest: ...
class TensorInputs: ...


class Turn:
    max_image_tokens: int | None
    def __init__(self, text: str, images: list[Path], videos: list[Path]) -> None: ...


class BatchMedia:
    def __init__(self, values: numpy.ndarray | None, grids: numpy.ndarray | None) -> None: ...


class BatchedPrompt:
    @property
    def inputs(self) -> TensorInputs: ...
    @property
    def first(self) -> int: ...
    @property
    def tokens(self) -> int: ...


class LoadedModel:
    def tokenizer(self) -> Tokenizer: ...
    def pixels(self, image: Path) -> tuple[numpy.ndarray, tuple[int, int, int]]: ...
    def logits(self, request: LogitsRequest, on_progress: Callable[[str, float], object] | None) -> numpy.ndarray: ...
    def split(self, ids: numpy.ndarray, mask: numpy.ndarray | None, images: BatchMedia, videos: BatchMedia) -> list[BatchedPrompt]: ...
    def write_trace(self, path: Path) -> None: ...
    @property
    def vocabulary(self) -> int: ...
    @property
    def load_seconds(self) -> float: ...
    @property
    def threads(self) -> int: ...
    @property
    def isa(self) -> str: ...
    @property
    def from_cache(self) -> bool: ...
    @property
    def warnings(self) -> list[str]: ...


class Talk:
    def __init__(self, model: LoadedModel, options: ConversationOptions) -> None: ...
    def ask(self, turn: Turn, options: GenerationOptions, on_text: Callable[[str], object] | None,
            on_progress: Callable[[str, float], object] | None) -> Answer: ...
    @staticmethod
    def resume(model: LoadedModel, path: Path) -> Talk: ...
    def save(self, path: Path) -> None: ...
    def tool_results(self, results: list[str], options: GenerationOptions, on_text: Callable[[str], object] | None,
                     on_progress: Callable[[str, float], object] | None) -> Answer: ...


class Stream:
    def next(self) -> InferenceEvent | None: ...
    def wait(self, seconds: float | None) -> bool: ...
    def result(self) -> Answer: ...
    def done(self) -> bool: ...
    def cancel(self) -> None: ...
    @property
    def id(self) -> int: ...


class Pipeline:
    def __init__(self, model: LoadedModel, config: SystemOptimizationConfig) -> None: ...
    def submit(self, request: InferenceRequest) -> Stream: ...
    def logits(self, request: LogitsRequest, out: numpy.ndarray) -> None: ...
    def plan(self, request: InferenceRequest) -> dict[str, Any]: ...
    def metrics(self) -> dict[str, Any]: ...
    def cleanup(self) -> None: ...


class ThreadPools:
    def __init__(self, config: SystemOptimizationConfig | None) -> None: ...
    def submit(self, pool: str, item: object) -> None: ...
    def check_may_wait(self) -> None: ...
    def shutdown(self, waits: bool, cancels: bool) -> None: ...
    def status(self) -> dict[str, Any]: ...
    @property
    def closed(self) -> bool: ...


class Memory:
    def __init__(self, config: SystemOptimizationConfig | None) -> None: ...
    def allocate(self, bytes: int) -> numpy.ndarray: ...
    def is_available(self, bytes: int) -> bool: ...
    def cleanup(self) -> dict[str, Any]: ...
    def usage(self) -> dict[str, Any]: ...
    def report(self) -> dict[str, Any]: ...


def load_model(options: LoadOptions, on_progress: Callable[[str, float], object] | None) -> LoadedModel: ...
def load_from_memory(options: LoadOptions, checkpoint: dict[str, Any]) -> LoadedModel: ...
def load_tokenizer(path: Path) -> Tokenizer: ...
def plan(options: LoadOptions, measure: Measure) -> dict[str, Any]: ...
def memory_limit_from_text(text: str, name: str) -> int: ...
def system_optimization_report(
    profiler: SystemProfiler, memory: Memory, scheduler: ResourceScheduler, config: SystemOptimizationConfig,
    operations: int, uptime_s: float) -> dict[str, Any]: ...
def end_threads() -> None: ...
