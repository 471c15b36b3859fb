"""What is done when the interpreter ends: no thread of a pool may need it afterwards."""
import os
import signal

from . import _core


def end_threads():
    """Cancels what waits in pools and waits for what runs. An interrupt meanwhile ends the process at once, since
    a thread that still runs Python's code would not survive the end of the interpreter."""
    try:
        _core.close_all()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
