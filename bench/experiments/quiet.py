"""Waits until others leave the machine alone: plans and times depend on what runs beside them."""
import pathlib
import sys
import time

QUIET = 0.2  # of a processor


def load_average():
    """Of the last minute, in processors."""
    return float(pathlib.Path("/proc/loadavg").read_text().split()[0])


def wait_for_quiet():
    """Until the load of others would not count: 60 s of memory in the kernel's average."""
    for look in range(60):
        load = load_average()
        if load < QUIET:
            return
        if look == 0:
            print(f"waiting for up to 5 minutes until the load of the last minute is below {QUIET}; it is {load:.2f}",
                  file=sys.stderr, flush=True)
        time.sleep(5)
    print(f"the load is still {QUIET} or more: the plans are those of a busy machine", file=sys.stderr, flush=True)
