"""What goes wrong, by kind. Messages are one line that names the thing, what was found and what was expected."""


class Error(Exception):
    """The base of all errors of qvl."""


class UsageError(Error, ValueError):
    """An argument or a field is wrong."""


class ModelError(Error, OSError):
    """A file of the model is missing, damaged or unsupported."""


class MediaError(Error, OSError):
    """A picture or a video is missing, damaged or unsupported."""


class LimitError(Error, MemoryError):
    """A limit would be passed: memory, context length, pixels, tasks that wait."""


class MachineError(Error, RuntimeError):
    """The machine, or the state it is in, does not allow it: no threads, a full disk, an interpreter that ends."""


class CancelledError(Error, RuntimeError):
    """The work was stopped before it was done."""
