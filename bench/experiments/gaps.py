"""How long a reader waits between two tokens while somebody else sends a picture: qvl, and llama.cpp's server beside it.

    gaps.py --pipeline-load PROGRAM --model MODEL [--side 1024] [--tokens 1500] [--rounds 2]
            [--llama-server COMMAND --text GGUF --mmproj GGUF [--threads N] [--port N]] [--save FILE.json]

A streams a long answer; after four quiet seconds B asks about a picture of SIDE x SIDE pixels for one token. Prints A's gaps before that, and
from then to B's answer, for each program in turn, ROUNDS times. PROGRAM is qvl_pipeline_load, COMMAND llama.cpp's llama-server, perhaps
with what has to stand before it, which finds the two files GGUF. TOKENS (of qvl's A; llama.cpp's ends when B has its answer) have to
last beyond the answer. Each round has a file of its own for the same picture, so that no cache has it. The machine should be idle.
"""
import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import command_line
from pictures import write_picture
from processes import failure, run_script

STORY = "Tell a long story about the sea and the wind."  # both as qvl_pipeline_load has them
QUESTION = "What is in the picture?"
QUIET_S = 4
SETTLED_S = 0.5            # what comes before is A's beginning
AFTER_S = 2                # of A after B's answer, for the figure
CONTEXT_TOKENS = 2 * 8192  # of llama.cpp's two slots together


def percentile(values, share):
    return sorted(values)[int((len(values) - 1) * share + 0.5)]


def spread(gaps):
    return {"count": len(gaps), "p50_ms": percentile(gaps, 0.5), "p99_ms": percentile(gaps, 0.99), "max_ms": max(gaps)}


def evaluate(times, sent, answered):
    """What is saved of a round: seconds since A's question, and milliseconds. A gap counts as beside B if any of it lies between B's
    sending and B's answer: a single gap may begin before the one and end after the other."""
    if not times or times[-1] <= answered:
        sys.exit(f"A ended with {len(times)} tokens and B had its answer after {answered:.1f} s: give more --tokens")
    gaps = [(begin, end, 1000 * (end - begin)) for begin, end in zip(times, times[1:])]
    quiet = [gap for begin, end, gap in gaps if begin >= SETTLED_S and end <= sent]
    beside = [gap for begin, end, gap in gaps if end > sent and begin < answered]
    if not quiet:
        sys.exit(f"A had no two tokens from {SETTLED_S} s to {sent:.1f} s: the machine is too slow for this experiment")
    quiet, beside = spread(quiet), spread(beside)
    return {"quiet": quiet, "beside": beside, "p99_ratio": beside["p99_ms"] / quiet["p99_ms"], "first_token_s": answered - sent,
            "sent_s": sent, "answered_s": answered, "times_s": [round(at, 4) for at in times if at <= answered + AFTER_S]}


def qvl_round(args, picture):
    command = [args.pipeline_load, "gaps", args.model, str(picture), str(args.tokens)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if process.returncode != 0:
        sys.exit(failure(command, process.returncode))
    found = json.loads(process.stdout)
    computed = found["metrics"]["caches"]["feature_misses"]
    if computed != 1:
        sys.exit(f"{computed} pictures were computed, expected 1")
    return evaluate(found["times_s"], found["sent_s"], found["answered_s"])


def free_port():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return listener.getsockname()[1]


class LlamaServer:
    """llama.cpp's server with two slots, and everything that the command before it has started; killed on leaving."""

    def __init__(self, args):
        self.port = args.port or free_port()
        self.log = tempfile.TemporaryFile()
        command = [*shlex.split(args.llama_server), "-m", args.text, "--mmproj", args.mmproj, "-t", str(args.threads), "-np", "2",
                   "-c", str(CONTEXT_TOKENS), "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def stop_with_log(self, problem):
        self.log.seek(0)
        sys.exit(f"llama-server: {problem}\n{self.log.read()[-2000:].decode(errors='replace')}")

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", path)
        return connection.getresponse()

    def post(self, path, body):
        """The response and the socket it comes from."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.connect()
        wire = connection.sock
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            self.stop_with_log(f"{path}: status {response.status}: {response.read()[:500].decode(errors='replace')}")
        return response, wire

    def wait_until_ready(self):
        while True:
            if self.process.poll() is not None:
                self.stop_with_log(f"ended with {self.process.returncode}")
            with contextlib.suppress(OSError):  # it does not listen yet
                if self.get("/health").status == 200:
                    return
            time.sleep(0.2)

    def stream(self, begin, enough):
        """Seconds from `begin` to each token of A, until the event `enough`."""
        response, wire = self.post("/completion", {"prompt": STORY, "stream": True, "temperature": 0, "ignore_eos": True})
        times = []
        while not enough.is_set():
            # The server waits for the receipt of a token before it sends the next one, and systems send receipts late: up to 40 ms.
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            line = response.readline()
            if not line:
                break
            if line.startswith(b"data: "):
                at, event = time.monotonic() - begin, json.loads(line[len(b"data: "):])
                if "error" in event:
                    self.stop_with_log(f"{event['error']}")
                if event["tokens"]:
                    times.append(at)
        return times

    def ask_about(self, picture):
        """Returns when B's first token is there."""
        url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]
        response, _ = self.post("/v1/chat/completions",
                                {"messages": [{"role": "user", "content": content}], "max_tokens": 1, "temperature": 0})
        response.read()


def llama_round(args, picture):
    # The server ends before the pool waits for A, whatever goes wrong.
    with concurrent.futures.ThreadPoolExecutor(1) as pool, LlamaServer(args) as server:
        server.wait_until_ready()
        enough = threading.Event()
        begin = time.monotonic()
        times = pool.submit(server.stream, begin, enough)
        time.sleep(QUIET_S)
        sent = time.monotonic() - begin
        server.ask_about(picture)
        answered = time.monotonic() - begin
        time.sleep(AFTER_S)
        enough.set()
        return evaluate(times.result(), sent, answered)


def describe(run):
    for name, gaps in (("alone", run["quiet"]), ("beside the picture", run["beside"])):
        print(f"  {name}: {gaps['count']} gaps, middle {gaps['p50_ms']:.1f}, 99th percentile {gaps['p99_ms']:.1f}, longest "
              f"{gaps['max_ms']:.1f} ms")
    print(f"  ratio of the 99th percentiles {run['p99_ratio']:.2f}; first token about the picture after {run['first_token_s']:.1f} s",
          flush=True)


def summary(name, runs):
    ratio, longest, first = (statistics.median(values) for values in zip(
        *((run["p99_ratio"], run["beside"]["max_ms"], run["first_token_s"]) for run in runs)))
    print(f"{name}: medians of {len(runs)}: ratio of the 99th percentiles {ratio:.2f}, longest gap {longest:.0f} ms, first token about "
          f"the picture after {first:.1f} s")


def parse():
    parser = command_line.Parser(__doc__, needs=["PIL"])
    parser.add_argument("--pipeline-load", required=True, type=command_line.program)
    parser.add_model("--model", required=True)
    parser.add_argument("--side", type=command_line.integer(1), default=1024)
    parser.add_argument("--tokens", type=command_line.integer(1), default=1500)
    parser.add_argument("--rounds", type=command_line.integer(1), default=2)
    parser.add_argument("--llama-server", type=command_line.command)
    # Not looked for here: COMMAND may run where other files are, in a container.
    parser.add_argument("--text", help="the language model, as llama-server finds it")
    parser.add_argument("--mmproj", help="the vision model, as llama-server finds it")
    parser.add_argument("--threads", type=command_line.integer(1), default=len(os.sched_getaffinity(0)), help="of llama-server")
    parser.add_argument("--port", type=command_line.integer(1, 65535), help="of llama-server, by default a free one")
    parser.add_argument("--save", type=command_line.output)
    args = parser.parse_args()
    if args.llama_server and not (args.text and args.mmproj):
        parser.error("--llama-server needs --text and --mmproj")
    return args


def main():
    args = parse()
    programs = {"qvl": qvl_round} | ({"llama.cpp": llama_round} if args.llama_server else {})
    runs = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        picture = pathlib.Path(folder) / "picture.png"
        for _ in range(args.rounds):
            write_picture(picture, args.side, uuid.uuid4().hex)
            for name, measure in programs.items():
                print(name, flush=True)
                runs[name].append(measure(args, picture))
                describe(runs[name][-1])
    for name in programs:
        summary(name, runs[name])
    if args.save:
        args.save.write_text(json.dumps(runs))


if __name__ == "__main__":
    run_script(main)
