"""Programs that scripts start: each ends with its script, however that one ends, and one that fails ends it with a line."""
import contextlib
import os
import shlex
import signal
import subprocess
import sys

# Ends by itself when the script is gone, even where that was killed and could end nothing.
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(100_000))"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """What a signal that ends the script does: it unwinds it, but not in the middle of starting a program, which nobody would end then."""

    def __init__(self):
        self._held_back, self._came = False, None

    def __call__(self, number, _):
        if self._held_back:
            self._came = number
            return
        for each in ENDING:  # a second one would leave the clean-up half done
            signal.signal(each, signal.SIG_IGN)
        print(f"{os.path.basename(sys.argv[0])}: ended by {signal.Signals(number).name}", file=sys.stderr, flush=True)
        sys.exit(128 + number)

    @contextlib.contextmanager
    def held_back(self):
        """What comes within the block counts at its end."""
        self._held_back = True
        try:
            yield
        finally:
            self._held_back = False
        if self._came is not None:
            self(self._came, None)


ending = Ending()  # one for the process, as the handlers of signals are


def run_script(main):
    """Calls `main`. A signal that ends the script unwinds it first, so that what it has started and made goes with it."""
    for each in ENDING:
        signal.signal(each, ending)
    main()


@contextlib.contextmanager
def started(command, **options):
    """The process of a command, which is killed where it still runs at the end of the block."""
    process = None
    try:
        with ending.held_back():
            process = subprocess.Popen(list(map(str, command)), **options)
        yield process
    finally:
        if process:
            end(process)


def end(process):
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError):  # what nobody reads any more
            if pipe:
                pipe.close()


@contextlib.contextmanager
def busy_processes(count):
    """As many that compute for nothing; their numbers."""
    with contextlib.ExitStack() as all_of_them:
        yield [all_of_them.enter_context(started([sys.executable, "-S", "-E", "-c", BUSY, os.getpid()])).pid for _ in range(count)]


def output_of(command, **options):
    """Standard output of a command, which must succeed: else the script ends with the last line it wrote to standard error."""
    command = list(map(str, command))
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        out, errors = process.communicate()
    if process.returncode != 0:
        sys.exit(failure(command, process.returncode, errors))
    return out


def failure(command, status, errors=""):
    """What is said of a command that failed."""
    last = (errors.strip() or "it wrote no message").splitlines()[-1]
    return f"{shlex.join(map(str, command))[:300]}: ended with {status}: {last}"
