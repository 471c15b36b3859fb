"""Draws what plot_data.py shapes: for each experiment a function that takes its data and returns a matplotlib figure."""
import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from plot_data import CLASSES, SLOTS, ratio_axis_end

COLOURS = ("#1f6fb4", "#d9771e", "#2c9a6c", "#8a5fb0")  # told apart by people who confuse red and green
GROUP_WIDTH = 0.8  # of the room between two groups of bars
INK, SHADE, EMPHASIS = "#333333", "#e9e9ee", "#b3262a"
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": "#888888",
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10,
    "axes.titlelocation": "left", "axes.axisbelow": True, "grid.color": "#dddddd", "grid.linewidth": 0.6, "legend.frameon": False,
    "legend.fontsize": 8.5, "figure.facecolor": "white",
    "figure.constrained_layout.use": True, "figure.constrained_layout.h_pad": 0.08, "figure.constrained_layout.w_pad": 0.08,
    "lines.solid_capstyle": "round",
    # Text stays text: smaller, sharp at any size, and found by a search. The same data give the same bytes.
    "svg.fonttype": "none", "svg.hashsalt": "qvl", "text.parse_math": False,
}


def panels(count, width, height, **options):
    """A figure with a row of axes; with `sharey` they have the rows in common."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(1, count, squeeze=False, **options)[0]


def colour(index):
    return COLOURS[index % len(COLOURS)]


def colours(count):
    return [colour(index) for index in range(count)]


def label_bars(axes, bars, texts):
    axes.bar_label(bars, texts, padding=2, fontsize=8)
    axes.margins(y=0.12)


def places_of(index, count, groups):
    """Where the bars of series `index` of `count` stand in each of `groups` groups."""
    return [group + (index - (count - 1) / 2) * GROUP_WIDTH / count for group in range(groups)]


def name_groups(axes, groups):
    axes.set_xticks(range(len(groups)), groups)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")


def grouped_bars(axes, groups, series, text, **options):
    """For each of `groups` a bar of each of `series` (lists of values), side by side. The key is the caller's."""
    for index, values in enumerate(series):
        bars = axes.bar(places_of(index, len(series), len(groups)), values, 0.92 * GROUP_WIDTH / len(series), color=colour(index),
                        **options)
        label_bars(axes, bars, [text(value) for value in values])
    name_groups(axes, groups)


def plain_powers(axis):
    """Of an axis of powers of ten: 100 instead of 10 with a raised 2."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def key(target, names, **options):
    """A legend of the colours of `names`, in their order."""
    target.legend(handles=[Patch(color=colour(index), label=name) for index, name in enumerate(names)], **options)


def words(name):
    return name.replace("_", " ")


def short(value):
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def draw_cpu_quota(data):
    figure, (axes,) = panels(1, 6.4, 3.2)
    count = len(data.programs)
    for index, spreads in enumerate(data.programs.values()):
        places = places_of(index, count, len(data.threads))
        axes.bar(places, [spread.median for spread in spreads], 0.92 * GROUP_WIDTH / count, color=colour(index))
        axes.vlines(places, [spread.low for spread in spreads], [spread.high for spread in spreads], color=INK, linewidth=1)
        for place, spread in zip(places, spreads):
            axes.annotate(short(spread.median), (place, spread.high), xytext=(0, 2), textcoords="offset points", ha="center",
                          fontsize=8)
    name_groups(axes, data.threads)
    axes.margins(y=0.1)
    processors = "1 processor" if data.cpus == 1 else f"{data.cpus:g} processors"
    axes.set_title(f"Decoding with a quota of {processors} (median, and lines from least to most)")
    axes.set_xlabel("threads asked for")
    axes.set_ylabel("tokens/s")
    key(figure, data.programs, loc="outside lower center", ncols=len(data.programs))
    return figure


def draw_neighbour(data):
    figure, (axes,) = panels(1, 7.2, 3.4)
    axes.axvspan(0, data.busy_s, color=SHADE, linewidth=0)
    for index, mode in enumerate(data.modes):
        for points in mode.rounds:
            axes.plot(*zip(*points), color=colour(index), linewidth=0.7, alpha=0.45)
        label = f"{mode.name}: the neighbour gets {100 * mode.neighbour_share:.0f} % of the machine"
        axes.plot(*zip(*mode.mean), color=colour(index), linewidth=2.2, label=label)
    axes.set_ylim(bottom=0)
    axes.text(data.busy_s / 2, 0.02, "another program keeps all processors busy", ha="center", va="bottom", fontsize=8.5,
              transform=axes.get_xaxis_transform())
    axes.grid(axis="y")
    axes.margins(x=0)
    axes.set_title("Decoding beside a busy neighbour (thick: mean of the rounds)")
    axes.set_xlabel("seconds since the neighbour came")
    axes.set_ylabel("tokens/s")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    return figure


def draw_gaps(programs):
    figure, (axes,) = panels(1, 7.2, 3.4)
    axes.axvline(0, color="#888888", linestyle=":", linewidth=1)
    for index, (name, data) in enumerate(programs.items()):
        begins, lengths = zip(*data.gaps)
        label = f"{name}: silent for {short(data.longest_s)} s at most; the picture has its first token after {short(data.answered_s)} s"
        # A gap is a step as wide as it is high: silence is a line of its own.
        axes.step([*begins, data.end_s], [*lengths, lengths[-1]], where="post", color=colour(index), linewidth=1.3, label=label)
        axes.axvline(data.answered_s, color=colour(index), linestyle="--", linewidth=1)
    axes.set_yscale("log")
    plain_powers(axes.yaxis)
    axes.margins(x=0, y=0.18)  # above the longest gap is room for a word
    axes.annotate("a picture is sent", (0, 1), xycoords=("data", "axes fraction"), xytext=(4, -4),
                  textcoords="offset points", va="top", fontsize=8.5)
    axes.grid(axis="y")
    axes.set_title("A stream while a picture is looked at (dashed: its first token)")
    axes.set_xlabel("seconds since the picture was sent")
    axes.set_ylabel("seconds between two tokens")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    return figure


def draw_memory_cap(results):
    """`results` is a CapResult for each cap, side by side."""
    figure, row = panels(len(results), max(6.4, 4.2 * len(results)), 3.2, sharey=True)
    for axes, data in zip(row, results):
        axes.plot(*zip(*data.resident), color=COLOURS[0], linewidth=1.3)
        axes.axhline(data.cap_mib, color=EMPHASIS, linestyle="--", linewidth=1.3)
        axes.annotate(f"cap {data.cap_mib:.0f} MiB", (0, data.cap_mib), xycoords=("axes fraction", "data"), xytext=(4, 3),
                      textcoords="offset points", color=EMPHASIS, fontsize=8.5)
        axes.annotate(f"most {data.most_mib:.0f} MiB, slope {data.slope_mib_per_100:+.1f} MiB per 100 pictures", (0, 0),
                      xycoords="axes fraction", xytext=(4, 4), textcoords="offset points", fontsize=8.5)
        axes.set_title(f"{data.pictures} pictures of different sizes")
        axes.set_xlabel("seconds")
        axes.grid(axis="y")
        axes.margins(x=0)
        axes.label_outer()
    row[0].set_ylim(0, 1.12 * max(max(data.cap_mib, data.most_mib) for data in results))
    row[0].set_ylabel("resident memory, MiB")
    return figure


def draw_memory_pressure(data):
    figure, (axes,) = panels(1, 7.2, 3.2)
    axes.axvspan(data.full_s, data.free_s, color=SHADE, linewidth=0)
    axes.axvline(0, color="#888888", linestyle=":", linewidth=1)
    handles = [Patch(color=SHADE, label="the memory of the machine is full"),
               Line2D([], [], color="#888888", linestyle=":", label="another program begins to take it")]
    if data.held:
        axes.step(*zip(*data.held), where="post", color=COLOURS[0], linewidth=1.8)
        handles.append(Line2D([], [], color=COLOURS[0], label="held by caches"))
    if data.reductions:
        seconds, freed = zip(*data.reductions)
        axes.vlines(seconds, 0, freed, color=EMPHASIS, linewidth=1.2)
        axes.plot(seconds, freed, "v", color=EMPHASIS, markersize=5)
        handles.append(Line2D([], [], color=EMPHASIS, marker="v", linewidth=1.2, label="given back by caches"))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.set_title("Caches when another program takes the memory")
    axes.set_xlabel("seconds since the other program began")
    axes.set_ylabel("MiB")
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def draw_levels(levels):
    figure, (time, memory) = panels(2, 7.4, 3.2, width_ratios=(3, 2))
    names = [f"{level.level}" for level in levels]
    grouped_bars(time, names, ([level.seconds for level in levels], [level.first_token_s for level in levels]), short, log=True)
    plain_powers(time.yaxis)
    time.set_title("One picture, a question and its answer")
    time.set_ylabel("seconds")
    key(time, ("to the last token", "to the first token"), loc="upper right")
    grouped_bars(memory, names, ([level.peak_mib for level in levels],), short)
    memory.set_title("Resident at most")
    memory.set_ylabel("MiB")
    cosines = [f"{name}\n{level.cosine_mean:.4f}" for name, level in zip(names, levels)]
    time.set_xticks(range(len(levels)), cosines)
    time.set_xlabel(f"level of optimisation, and mean cosine of the logits to level {names[0]}")
    memory.set_xlabel("level of optimisation")
    return figure


def difference_bars(axes, rows, values, title, label, text):
    """Horizontal bars to both sides of 0; none where the value is None."""
    bars = axes.barh(rows, [value or 0 for value in values], 0.7, color=COLOURS[2])
    axes.bar_label(bars, ["" if value is None else text(value) for value in values], padding=2, fontsize=7.5)
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.margins(x=0.35)
    axes.set_title(title)
    axes.set_xlabel(label)


def draw_passes(passes):
    figure, (ratio, load, memory) = panels(3, 8.2, 1.3 + 0.24 * len(passes), sharey=True, width_ratios=(5, 3, 3))
    rows = range(len(passes))
    end = ratio_axis_end([row.ratio for row in passes])
    low = min(1, *(row.ratio for row in passes))
    edge = end + 0.15 * max(end - low, 0.01)  # room for the values
    for at, row in enumerate(passes):
        cut = row.ratio > end
        ratio.barh(at, min(row.ratio, edge) - 1, 0.7, left=1, color=colour(0 if row.ratio >= 1 else 1))
        ratio.annotate(f"{row.ratio:.1f}, cut off" if cut else f"{row.ratio:.2f}", (edge if cut else max(row.ratio, 1), at),
                       xytext=(-3 if cut else 3, 0), textcoords="offset points", va="center", ha="right" if cut else "left",
                       fontsize=7.5, color="white" if cut else INK)
    ratio.set_xlim(low - 0.03 * (edge - low), edge)
    ratio.axvline(1, color="#888888", linewidth=0.8)
    ratio.set_yticks(rows, [row.name for row in passes], fontsize=8)
    ratio.invert_yaxis()
    ratio.set_title("Time without the pass")
    ratio.set_xlabel("times as long as with all passes")
    difference_bars(load, rows, [row.load_more_s for row in passes], "Loading", "seconds more", "{:+.2f}".format)
    difference_bars(memory, rows, [row.peak_more_mib for row in passes], "Resident at most", "MiB more", "{:+.0f}".format)
    for axes in (ratio, load, memory):
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    return figure


def draw_scheduler(policies):
    figure, (turns, waits, ends) = panels(3, 9.6, 3.3, width_ratios=(3, 4, 2))
    names = [words(policy) for policy in policies]
    apart = [[data.apart[slot] for slot in SLOTS] for data in policies.values()]
    grouped_bars(turns, SLOTS, apart, "{:.0f}".format, log=True)
    turns.set_ylim(bottom=1)
    plain_powers(turns.yaxis)
    turns.set_title("Two clients that both want more")
    turns.set_ylabel("turns apart at most")
    turns.set_xlabel("kind of turn")
    means = [[data.mean_s[kind] for kind in CLASSES] for data in policies.values()]
    grouped_bars(waits, CLASSES, means, short, log=True)
    for index, data in enumerate(policies.values()):
        places = places_of(index, len(policies), len(CLASSES))
        waits.plot(places, [data.worst_s[kind] for kind in CLASSES], "_", color=INK, markersize=9)
    plain_powers(waits.yaxis)
    waits.set_title("From arrival to the end (bars: mean, lines: worst)")
    waits.set_ylabel("seconds")
    waits.set_xlabel("class of the request")
    makespans = [data.makespan_s for data in policies.values()]
    label_bars(ends, ends.bar(range(len(names)), makespans, 0.7, color=colours(len(names))), [short(value) for value in makespans])
    ends.set_title("All of a full queue")
    ends.set_ylabel("seconds to the last answer")
    ends.set_xlabel("policy")
    ends.set_xticks([])
    ends.grid(axis="y")
    key(figure, names, loc="outside lower center", ncols=len(names))
    return figure


def draw_pool(data):
    figure, row = panels(len(data.figures), max(3.2, 2.6 * len(data.figures)), 3.0)
    for axes, (name, values) in zip(row, data.figures.items()):
        shares = "hit_rate" in name
        shown = [100 * value for value in values] if shares else values
        bars = axes.bar(range(len(values)), shown, 0.6, color=colours(len(values)))
        label_bars(axes, bars, [f"{value:.0f} %" if shares else f"{value:.3g}" for value in shown])
        axes.set_title(words(name))
        axes.set_ylabel("% of blocks reused" if shares else "number")
        if shares:
            axes.set_ylim(0, 112)
        axes.set_xticks(range(len(values)), [words(variant) for variant in data.variants])
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="y")
    return figure


DRAWINGS = {"cpu_quota": draw_cpu_quota, "neighbour": draw_neighbour, "gaps": draw_gaps, "memory_cap": draw_memory_cap,
            "memory_pressure": draw_memory_pressure, "levels": draw_levels, "passes": draw_passes, "scheduler": draw_scheduler,
            "pool": draw_pool}


def write(name, data, path):
    """Draws the figure `name` into `path`, in the format that its suffix says."""
    with matplotlib.rc_context(STYLE):
        # Without a date the same results give the same file.
        metadata = {"Date": None, "Creator": None, "Title": words(name)} if path.suffix == ".svg" else None
        DRAWINGS[name](data).savefig(path, metadata=metadata, dpi=110)
