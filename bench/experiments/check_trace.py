"""Checks a trace of `qvl run --trace FILE` against the Trace Event Format (Google, JSON object format).

    check_trace.py FILE...

The document: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. Checked is what it demands of each phase
that occurs: required fields and their types, durations and times of zones, values of counters, scopes of instants, names of
metadata, that zones of a thread lie inside one another or apart, and that nestable asynchronous spans (b, n and e with one cat and one
id) end in the reverse order of their beginnings. Exit code 1 with a line for each fault.
"""
import collections
import json
import os
import sys

import command_line

REQUIRED = {"name": str, "ph": str, "pid": int, "tid": int}
METADATA = {"process_name": "name", "process_labels": "labels", "process_sort_index": "sort_index", "thread_name": "name",
            "thread_sort_index": "sort_index"}
ASYNCHRONOUS = ("b", "n", "e")  # the nestable ones


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def span_id(event):
    """What tells the span of an asynchronous event from others: one of the process, or of all of them. None where there is nothing."""
    scopes = event["id2"] if isinstance(event.get("id2"), dict) else {"global": event.get("id")}
    for scope, value in scopes.items():
        if scope in ("local", "global") and isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return event["pid"] if scope == "local" else None, event.get("scope"), value
    return None


def event_faults(event):
    """What is wrong with one event alone."""
    for key, kind in REQUIRED.items():
        if key == "tid" and event.get("ph") == "C":
            continue  # counters belong to the process
        if not isinstance(event.get(key), kind) or isinstance(event.get(key), bool):
            yield f"{key} is {event.get(key)!r}, expected {kind.__name__}"
    phase = event.get("ph")
    if phase != "M" and not (is_number(event.get("ts")) and event["ts"] >= 0):
        yield f"ts is {event.get('ts')!r}, expected microseconds"
    if not isinstance(event.get("args", {}), dict):
        yield "args is no object"
    elif phase == "X" and not (is_number(event.get("dur")) and event["dur"] >= 0):
        yield f"dur is {event.get('dur')!r}, expected microseconds"
    elif phase == "C" and not (event.get("args") and all(map(is_number, event["args"].values()))):
        yield f"a counter with {event.get('args')!r}, expected numbers"
    elif phase == "i" and event.get("s", "t") not in ("g", "p", "t"):
        yield f"scope is {event.get('s')!r}, expected g, p or t"
    elif phase == "M" and METADATA.get(event.get("name")) not in event.get("args", {}):
        yield f"metadata {event.get('name')!r} with {event.get('args')!r}"
    elif phase in ASYNCHRONOUS and not (isinstance(event.get("cat"), str) and event["cat"]):
        yield f"cat is {event.get('cat')!r}, expected the category of its span"
    elif phase in ASYNCHRONOUS and span_id(event) is None:
        yield f"id is {event.get('id2', event.get('id'))!r}, expected the id of its span"
    elif phase not in ("X", "C", "i", "M", *ASYNCHRONOUS):
        yield f"phase {phase!r}, which this checker does not know"


def nesting_faults(zones):
    """Zones of one thread that overlap without one being inside the other."""
    open_ends = []
    for zone in sorted(zones, key=lambda zone: (zone["ts"], -zone["dur"])):
        end = zone["ts"] + zone["dur"]
        while open_ends and open_ends[-1][0] <= zone["ts"]:
            open_ends.pop()
        if open_ends and end > open_ends[-1][0] + 0.001:  # times are rounded to nanoseconds
            yield f"{zone['name']} at {zone['ts']} ends after {open_ends[-1][1]} around it"
        open_ends.append((end, zone["name"]))


def span_faults(events):
    """Ends without their beginnings, beginnings without their ends, and spans that end before what lies inside, of one cat and one id."""
    open_spans = []
    for event in sorted(events, key=lambda event: event["ts"]):  # of equal times, the order of the file
        if event["ph"] == "b":
            open_spans.append(event)
        elif event["ph"] == "e":
            if not open_spans:
                yield f"{event['name']} ends at {event['ts']} without a beginning"
            elif (last := open_spans.pop())["name"] != event["name"]:
                yield f"{event['name']} ends at {event['ts']} before {last['name']}, which began at {last['ts']}"
    yield from (f"{event['name']} begins at {event['ts']} without an end" for event in open_spans)


def faults(document):
    if not isinstance(document, dict) or not isinstance(document.get("traceEvents"), list):
        yield "expected an object with an array traceEvents"
        return
    threads, spans = collections.defaultdict(list), collections.defaultdict(list)
    for index, event in enumerate(document["traceEvents"]):
        if not isinstance(event, dict):
            yield f"event {index}: no object"
            continue
        wrong = list(event_faults(event))
        yield from (f"event {index}: {fault}" for fault in wrong)
        if wrong:
            continue
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append(event)
        elif event["ph"] in ASYNCHRONOUS:
            spans[event["cat"], span_id(event)].append(event)
    for thread, zones in threads.items():
        yield from (f"thread {thread}: {fault}" for fault in nesting_faults(zones))
    for (category, (*_, identity)), events in spans.items():
        yield from (f"{category} {identity}: {fault}" for fault in span_faults(events))


def check(path):
    """Prints what is wrong with a file, and what there is in it; how much is wrong."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        print(f"{path}: no JSON: {error}")
        return 1
    wrong = list(faults(document))
    for fault in wrong:
        print(f"{path}: {fault}")
    events = document.get("traceEvents") if isinstance(document, dict) else None
    phases = collections.Counter(str(event.get("ph")) for event in (events if isinstance(events, list) else []) if isinstance(event, dict))
    print(f"{path}: {sum(phases.values())} events {dict(phases)}, {len(wrong)} faults")
    return len(wrong)


def main():
    parser = command_line.Parser(__doc__)
    parser.add_argument("files", nargs="+", type=command_line.file, metavar="FILE")
    files = parser.parse_args().files
    try:
        found = sum(check(path) for path in files)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
        found = 1
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
