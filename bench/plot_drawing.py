"""Draws what plot_data.py shapes: for each experiment a function that takes its data and returns a matplotlib figure."""
import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from plot_data import CLASSES, SLOTS, ratio_axis_end

COLOURS = ("#1f6fb4", "#d9771e", "#2c9a6c", "#8a5fb0")  # told apart by people who confuse red and green
INK, SHADE, EMPHASIS = "#333333", "#e9e9ee", "#b3262a"
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": "#888888",
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10,
    "axes.titlelocation": "left", "axes.axisbelow": True, "grid.color": "#dddddd", "grid.linewidth": 0.6, "legend.frameon": False,
    "legend.fontsize": 8.5, "figure.facecolor": "white", "figure.constrained_layout.use": True, "lines.solid_capstyle": "round",
    # Text stays text: smaller, sharp at any size, and found by a search. The same data give the same bytes.
    "svg.fonttype": "none", "svg.hashsalt": "qvl", "path.simplify": True,
}


def panels(count, width, height, **options):
    """A figure with a row of axes; with `sharey` they have the rows in common."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(1, count, squeeze=False, **options)[0]


def label_bars(axes, bars, texts):
    axes.bar_label(bars, texts, padding=2, fontsize=8)
    axes.margins(y=0.12)


def grouped_bars(axes, groups, series, text=str, **options):
    """For each of `groups` a bar of each of `series` {name: values}, side by side; returns nothing, the legend is the caller's."""
    width = 0.8 / len(series)
    for index, (values, colour) in enumerate(zip(series.values(), COLOURS)):
        places = [group + (index - (len(series) - 1) / 2) * width for group in range(len(groups))]
        bars = axes.bar(places, values, 0.92 * width, color=colour, **options)
        label_bars(axes, bars, [text(value) for value in values])
    axes.set_xticks(range(len(groups)), groups)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")


def key(target, names, **options):
    """A legend of the colours of `names`, in their order."""
    target.legend(handles=[Patch(color=colour, label=name) for name, colour in zip(names, COLOURS)], **options)


def words(name):
    return name.replace("_", " ")


def short(value):
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def draw_cpu_quota(data):
    figure, (axes,) = panels(1, 6.4, 3.2)
    grouped_bars(axes, data.threads, {name: [spread.median for spread in spreads] for name, spreads in data.programs.items()}, short)
    for index, spreads in enumerate(data.programs.values()):
        width = 0.8 / len(data.programs)
        for group, spread in enumerate(spreads):
            place = group + (index - (len(data.programs) - 1) / 2) * width + width / 4  # beside the label of the bar
            axes.vlines(place, spread.low, spread.high, color=INK, linewidth=1)
    axes.set_title(f"Decoding with a quota of {data.cpus:g} processor{'' if data.cpus == 1 else 's'}")
    axes.set_xlabel("threads asked for")
    axes.set_ylabel("tokens/s")
    key(figure, data.programs, loc="outside lower center", ncols=len(data.programs))
    return figure


def draw_neighbour(data):
    figure, (axes,) = panels(1, 7.2, 3.4)
    axes.axvspan(0, data.busy_s, color=SHADE, linewidth=0)
    for mode, colour in zip(data.modes, COLOURS):
        for points in mode.rounds:
            axes.plot(*zip(*points), color=colour, linewidth=0.7, alpha=0.45)
        label = f"{mode.name}: the neighbour gets {100 * mode.neighbour_share:.0f} % of the machine"
        axes.plot(*zip(*mode.mean), color=colour, linewidth=2.2, label=label)
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
        handles.append(Line2D([], [], color=EMPHASIS, marker="v", linewidth=1.2, label="given back at once"))
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
    grouped_bars(time, names, {"a": [level.seconds for level in levels], "b": [level.first_token_s for level in levels]}, short, log=True)
    time.set_title("One picture, a question and its answer")
    time.set_ylabel("seconds")
    key(time, ("to the last token", "to the first token"), loc="upper right")
    grouped_bars(memory, names, {"peak": [level.peak_mib for level in levels]}, short)
    memory.set_title("Resident at most")
    memory.set_ylabel("MiB")
    cosines = [f"{name}\n{level.cosine_mean:.4f}" for name, level in zip(names, levels)]
    time.set_xticks(range(len(levels)), cosines)
    time.set_xlabel(f"level of optimisation, and mean cosine of the logits to level {names[0]}")
    memory.set_xlabel("level of optimisation")
    return figure


def difference_bars(axes, rows, values, title, label, text):
    """Horizontal bars to both sides of 0."""
    bars = axes.barh(rows, values, 0.7, color=COLOURS[2])
    axes.bar_label(bars, [text(value) for value in values], padding=2, fontsize=7.5)
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.margins(x=0.35)
    axes.set_title(title)
    axes.set_xlabel(label)


def draw_passes(passes):
    figure, (ratio, load, memory) = panels(3, 8.2, 1.3 + 0.24 * len(passes), sharey=True, width_ratios=(5, 3, 3))
    rows = range(len(passes))
    end = ratio_axis_end([row.ratio for row in passes])
    shown = [min(row.ratio, end) for row in passes]
    bars = ratio.barh(rows, [value - 1 for value in shown], 0.7, left=1, color=[COLOURS[0] if row.ratio >= 1 else COLOURS[1] for row in passes])
    for bar, row in zip(bars, passes):
        cut = row.ratio > end
        ratio.annotate(f"{row.ratio:.1f}, cut off here" if cut else f"{row.ratio:.2f}", (max(bar.get_x() + bar.get_width(), 1), bar.get_y() + 0.35),
                       xytext=(-3 if cut else 3, 0), textcoords="offset points", va="center", ha="right" if cut else "left", fontsize=7.5,
                       color="white" if cut else INK)
    low = min(*shown, 1)
    ratio.set_xlim(low - 0.03 * (end - low), end + 0.15 * (end - low))
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
    grouped_bars(turns, [words(slot) for slot in SLOTS], {name: [data.apart[slot] for slot in SLOTS] for name, data in policies.items()}, log=True)
    turns.set_title("Two clients that both want more")
    turns.set_ylabel("turns apart at most")
    turns.set_xlabel("kind of turn")
    means = {name: [data.mean_s[kind] for kind in CLASSES] for name, data in policies.items()}
    grouped_bars(waits, CLASSES, means, short, log=True)
    for index, data in enumerate(policies.values()):
        places = [group + (index - (len(policies) - 1) / 2) * 0.8 / len(policies) for group in range(len(CLASSES))]
        waits.plot(places, [data.worst_s[kind] for kind in CLASSES], "_", color=INK, markersize=9)
    waits.set_title("From arrival to the end (bars: mean, lines: worst)")
    waits.set_ylabel("seconds")
    waits.set_xlabel("class of the request")
    bars = ends.bar(range(len(names)), [data.makespan_s for data in policies.values()], 0.7, color=COLOURS[:len(names)])
    label_bars(ends, bars, [short(data.makespan_s) for data in policies.values()])
    ends.set_title("All of a full queue")
    ends.set_ylabel("seconds to the last answer")
    ends.set_xticks([])
    ends.grid(axis="y")
    key(figure, names, loc="outside lower center", ncols=len(names))
    return figure


def draw_pool(data):
    figure, row = panels(len(data.figures), max(3.2, 2.6 * len(data.figures)), 3.0)
    for axes, (name, values) in zip(row, data.figures.items()):
        shares = "hit_rate" in name
        shown = [100 * value for value in values] if shares else values
        bars = axes.bar(range(len(values)), shown, 0.6, color=[COLOURS[i % len(COLOURS)] for i in range(len(values))])
        label_bars(axes, bars, [f"{value:.0f} %" if shares else short(value) for value in shown])
        axes.set_title(words(name))
        axes.set_ylabel("% of blocks reused" if shares else "number")
        if shares:
            axes.set_ylim(0, 112)
        axes.set_xticks(range(len(values)), [words(variant) for variant in data.variants])
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="y")
    return figure


DRAWINGS = {"cpu_quota": draw_cpu_quota, "neighbour": draw_neighbour, "memory_cap": draw_memory_cap,
            "memory_pressure": draw_memory_pressure, "levels": draw_levels, "passes": draw_passes, "scheduler": draw_scheduler,
            "pool": draw_pool}


def write(name, data, path):
    """Draws the figure `name` into `path`, in the format that its suffix says."""
    with matplotlib.rc_context(STYLE):
        # Without a date the same results give the same file.
        metadata = {"Date": None, "Title": words(name)} if path.suffix == ".svg" else None
        DRAWINGS[name](data).savefig(path, metadata=metadata, dpi=110)
