"""Results of the experiments (bench/experiments, as they save them) made into what a figure shows; draws nothing.

Each function of SHAPES takes a result and returns plain data, or raises ResultError with one line that names the field. Results
are files that people edit and merge, so nothing in them is trusted. Times are seconds, memory is MiB, rates are tokens a second.
"""
import math
import re
import statistics
from dataclasses import dataclass

MIB = 1 << 20
UNITS_MIB = {"B": 1 / MIB, "KiB": 1 / 1024, "MiB": 1, "GiB": 1024}
REDUCTION = re.compile(r"caches reduced by (\d+(?:\.\d+)?) (B|KiB|MiB|GiB)$")
AFTER_NEIGHBOUR_S = 12  # how long neighbour.py goes on with its timeline after the neighbour has gone
LARGEST = 1e18          # of any number: infinities and integers beyond what matplotlib takes are no results
MOST_POINTS = 200       # of a line: more are not seen
LONGEST_RATIO = 4       # longer bars are cut off, with their value beside them
CLASSES = ("interactive", "normal", "background")
POLICIES = ("round_robin", "priority", "load_balanced")
SLOTS = ("compute", "decode")


class ResultError(ValueError):
    """A result is not what its experiment writes: one line with the field, what was found and what was expected."""


def describe(value):
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def number(value, where):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise ResultError(f"{where}: expected a number, found {describe(value)}")
    return value


def positive(value, where):
    """For what is divided by, or drawn on an axis of powers."""
    if number(value, where) <= 0:
        raise ResultError(f"{where}: expected a number above 0, found {describe(value)}")
    return value


def text_of(value, where):
    if not isinstance(value, str):
        raise ResultError(f"{where}: expected a text, found {describe(value)}")
    return value


def members(value, where):
    if not isinstance(value, dict) or not value:
        raise ResultError(f"{where}: expected an object with members, found {describe(value)}")
    return value


def items(value, where):
    if not isinstance(value, list) or not value:
        raise ResultError(f"{where}: expected an array with entries, found {describe(value)}")
    return value


def member(of, key, where):
    if key not in members(of, where):
        raise ResultError(f"{where}: {key} is missing")
    return of[key]


def number_at(of, key, where, check=number):
    return check(member(of, key, where), f"{where}.{key}")


def pairs(value, where, second=number):
    """[(number, what `second` makes of the other)], of an array that may be empty."""
    if not isinstance(value, list):
        raise ResultError(f"{where}: expected an array, found {describe(value)}")
    found = []
    for index, pair in enumerate(value):
        here = f"{where}[{index}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise ResultError(f"{here}: expected a pair, found {describe(pair)}")
        found.append((number(pair[0], here), second(pair[1], here)))
    return found


def thin_peaks(points, most=MOST_POINTS):
    """At most `most` of (time, value): of each run of neighbours the one with the highest value, so that no peak is lost."""
    step = max(math.ceil(len(points) / most), 1)
    return [max(points[i:i + step], key=lambda point: point[1]) for i in range(0, len(points), step)]


@dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class QuotaResult:
    cpus: float
    threads: list   # asked for, ascending
    programs: dict  # name -> a Spread of tokens a second for each of `threads`


def shape_cpu_quota(result):
    programs, threads = {}, None
    for name, by_threads in members(member(result, "tokens_per_second", "result"), "tokens_per_second").items():
        where = f"tokens_per_second.{name}"
        rates = {}
        for asked, values in members(by_threads, where).items():
            if not re.fullmatch(r"[1-9]\d{0,3}", asked):
                raise ResultError(f"{where}: expected numbers of threads, found {describe(asked)}")
            rates[int(asked)] = [number(value, f"{where}.{asked}") for value in items(values, f"{where}.{asked}")]
        threads = threads or sorted(rates)
        if sorted(rates) != threads:
            raise ResultError(f"{where}: expected the threads {threads}, found {sorted(rates)}")
        programs[name] = [Spread(statistics.median(rates[t]), min(rates[t]), max(rates[t])) for t in threads]
    return QuotaResult(number_at(result, "cpus", "result", positive), threads, programs)


@dataclass(frozen=True)
class NeighbourMode:
    name: str
    rounds: list            # [(middle of a second since the neighbour came, tokens a second)] of each round
    mean: list              # the same, of the seconds that all rounds have
    neighbour_share: float  # of the machine, 0 to 1, the median of the rounds


@dataclass(frozen=True)
class NeighbourResult:
    busy_s: float
    modes: list


def shape_neighbour(result):
    modes, ends = [], set()
    for name, runs in members(result, "result").items():
        rounds, shares = [], []
        for index, run in enumerate(items(runs, name)):
            where = f"{name}[{index}]"
            timeline = pairs(items(member(run, "timeline", where), f"{where}.timeline"), f"{where}.timeline")
            rounds.append([(second + 0.5, rate) for second, rate in timeline])
            shares.append(number_at(run, "neighbour_share", where))
            ends.add(timeline[-1][0] + 1 - AFTER_NEIGHBOUR_S)
        by_second = [dict(points) for points in rounds]
        common = sorted(set.intersection(*(set(points) for points in by_second)))
        if not common:
            raise ResultError(f"{name}: expected rounds with seconds in common, found none")
        mean = [(second, statistics.mean(points[second] for points in by_second)) for second in common]
        modes.append(NeighbourMode(name, rounds, mean, statistics.median(shares)))
    if len(ends) != 1 or min(ends) <= 0:
        raise ResultError(f"timeline: expected all rounds to end {AFTER_NEIGHBOUR_S} s after the same busy period, found busy "
                          f"periods of {sorted(ends)} s")
    return NeighbourResult(ends.pop(), modes)


@dataclass(frozen=True)
class GapsResult:
    """Of a program the round with the longest gap. Seconds, from the sending of the picture on."""
    gaps: list         # (begin of a gap, its length), at most MOST_POINTS
    end_s: float       # of the last gap
    answered_s: float  # the picture's first token
    longest_s: float   # of the gaps that touch the time from 0 to answered_s


def gaps_of_round(run, where):
    times = [number(at, f"{where}.times_s") for at in items(member(run, "times_s", where), f"{where}.times_s")]
    sent, answered = (number_at(run, key, where) for key in ("sent_s", "answered_s"))
    if times != sorted(times) or not times[0] <= sent < answered < times[-1]:
        raise ResultError(f"{where}: expected ascending times_s from before sent_s to after answered_s")
    gaps = [(begin - sent, end - begin) for begin, end in zip(times, times[1:])]
    longest = max(length for begin, length in gaps if begin + length > 0 and begin < answered - sent)
    return GapsResult(thin_peaks(gaps), times[-1] - sent, answered - sent, longest)


def shape_gaps(result):
    """Program -> GapsResult."""
    return {name: max((gaps_of_round(run, f"{name}[{index}]") for index, run in enumerate(items(runs, name))),
                      key=lambda run: run.longest_s)
            for name, runs in members(result, "result").items()}


@dataclass(frozen=True)
class CapResult:
    cap_mib: float
    most_mib: float
    pictures: int
    slope_mib_per_100: float
    resident: list  # (seconds, MiB), at most MOST_POINTS


def shape_memory_cap(result):
    resident = pairs(items(member(result, "resident", "result"), "resident"), "resident")
    return CapResult(number_at(result, "cap_mib", "result"), number_at(result, "most_mib", "result"),
                     number_at(result, "pictures", "result"), number_at(result, "slope_mib_per_100", "result"), thin_peaks(resident))


@dataclass(frozen=True)
class PressureResult:
    """Seconds since another program began to take memory."""
    full_s: float
    free_s: float
    held: list        # (seconds, MiB in caches); empty where the trace did not say
    reductions: list  # (seconds, MiB given back)


def counter_mib(args, where):
    """Of a counter of the trace: bytes, under the name `value`."""
    return number_at(args, "value", where) / MIB


def shape_memory_pressure(result):
    reductions = []
    for at, text in pairs(member(result, "reductions", "result"), "reductions", text_of):
        if match := REDUCTION.match(text):  # the other lines tell the same reductions in more words
            reductions.append((at, float(match.group(1)) * UNITS_MIB[match.group(2)]))
    return PressureResult(number_at(result, "full_s", "result"), number_at(result, "free_s", "result"),
                          thin_peaks(pairs(member(result, "held", "result"), "held", counter_mib)), reductions)


@dataclass(frozen=True)
class LevelResult:
    level: int
    seconds: float
    first_token_s: float
    peak_mib: float
    cosine_mean: float


def shape_levels(result):
    levels = []
    for index, row in enumerate(items(member(result, "levels", "result"), "levels")):
        where = f"levels[{index}]"
        levels.append(LevelResult(number_at(row, "level", where), number_at(row, "seconds", where, positive),
                                  number_at(row, "first_token_s", where), number_at(row, "peak_mib", where),
                                  number_at(row, "cosine_mean", where)))
    return sorted(levels, key=lambda level: level.level)


@dataclass(frozen=True)
class PassResult:
    """What leaving a pass out does."""
    name: str     # says where a second question about a picture was asked
    ratio: float  # of the request's seconds to those with all passes
    load_more_s: float | None  # None: a process that answers both questions does not tell it
    peak_more_mib: float


def shape_passes(result):
    """The pass that is worth most first."""
    passes = []
    for index, row in enumerate(items(member(result, "passes", "result"), "passes")):
        where = f"passes[{index}]"
        name = text_of(member(row, "pass", where), f"{where}.pass")
        passes.append(PassResult(f"{name}, second question" if row.get("question") == "second" else name,
                                 number_at(row, "ratio", where, positive),
                                 number_at(row, "load_more_s", where) if "load_more_s" in row else None,
                                 number_at(row, "peak_more_mib", where)))
    return sorted(passes, key=lambda row: -row.ratio)


def ratio_axis_end(ratios):
    """Where the axis of ratios ends, so that one giant (instruction sets are worth twenty times) does not flatten the others: at the
    largest that is at most LONGEST_RATIO, or at the giant where there is nothing else."""
    return max((ratio for ratio in ratios if ratio <= LONGEST_RATIO), default=max(ratios))


@dataclass(frozen=True)
class PolicyResult:
    apart: dict        # compute, decode -> turns that two clients who both wanted more were apart at most
    mean_s: dict       # class -> seconds from arrival to the end of an answer
    worst_s: dict
    makespan_s: float  # until the last answer of a full queue


def shape_scheduler(result):
    """Policy -> PolicyResult: fairness and waits from the arrivals, the time for all from the full queue."""
    policies = {}
    for policy in POLICIES:
        where = f"arrivals.{policy}"
        arrivals = member(member(result, "arrivals", "result"), policy, "arrivals")
        full = member(member(result, "mixed_load", "result"), policy, "mixed_load")
        mean, worst = (member(arrivals, f"{which}_response_us", where) for which in ("mean", "worst"))
        policies[policy] = PolicyResult(
            {slot: number_at(member(arrivals, f"{slot}_turns", where), "most_difference", f"{where}.{slot}_turns") for slot in SLOTS},
            {name: number_at(mean, name, f"{where}.mean_response_us", positive) / 1e6 for name in CLASSES},
            {name: number_at(worst, name, f"{where}.worst_response_us", positive) / 1e6 for name in CLASSES},
            number_at(full, "makespan_us", f"mixed_load.{policy}", positive) / 1e6)
    return policies


@dataclass(frozen=True)
class PoolResult:
    variants: list  # as the experiment names them: with the pool, without it
    figures: dict   # name of a figure -> its value for each of `variants`


def shape_pool(result):
    """Of an object {VARIANT: {FIGURE: number}} the hit rates (0 to 1) and counts of allocations that all variants have."""
    variants = {name: members(value, name) for name, value in members(result, "result").items() if isinstance(value, dict)}
    if not variants:
        raise ResultError("result: expected an object for each variant, found none")
    names = [name for name in next(iter(variants.values()))
             if ("hit_rate" in name or "allocations" in name) and all(name in of for of in variants.values())]
    if not names:
        raise ResultError("result: expected figures named hit_rate or allocations in all variants, found none")
    return PoolResult(list(variants), {name: [number_at(of, name, variant) for variant, of in variants.items()] for name in names})


SHAPES = {"cpu_quota": shape_cpu_quota, "neighbour": shape_neighbour, "gaps": shape_gaps, "memory_cap": shape_memory_cap,
          "memory_pressure": shape_memory_pressure, "levels": shape_levels, "passes": shape_passes, "scheduler": shape_scheduler,
          "pool": shape_pool}
