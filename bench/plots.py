#!/usr/bin/env python3
"""Draws the results of the experiments: docs/experiments/NAME.json -> docs/experiments/NAME.svg.

    plots.py [--folder FOLDER] [--to FOLDER] [--format svg|png] [NAME...]

NAME is one of cpu_quota, neighbour, gaps, memory_cap, memory_pressure, levels, passes, scheduler and pool; without any, all
are drawn. What has no result is skipped, with a line. The result of an experiment is what its script saves (--save), of
`scheduler` what qvl_scheduler_simulation prints. Several caps go into one figure: memory_cap.json, memory_cap-1.5GiB.json.
Passes come from passes.json or, where there is none, from levels.json, as levels.py saves both. Needs matplotlib:
pip install -r bench/requirements.txt. Ends with 1 where a result is not what its experiment writes.
"""
import json
import pathlib
import re
import sys

import plot_data

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "experiments"))
import command_line  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "docs" / "experiments"
LARGEST_SVG_BYTES = 40_000  # a page with nine of them is still quick


def read(path):
    """The JSON of a result, or ResultError."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise plot_data.ResultError(f"cannot be read: {error}") from None


def shape(shaping, path):
    """What `shaping` makes of the file, whose name stands before whatever is wrong with it."""
    try:
        return shaping(read(path))
    except plot_data.ResultError as error:
        raise plot_data.ResultError(f"{path}: {error}") from None


def has_passes(path):
    try:
        return "passes" in plot_data.members(read(path), "result")
    except plot_data.ResultError:
        return False  # which the figure of levels tells of


def files_of(name, folder):
    """The files with the results that the figure `name` shows; empty where there are none."""
    if name == "memory_cap":
        return sorted(folder.glob("memory_cap.json")) + sorted(folder.glob("memory_cap-*.json"))
    path, levels = folder / f"{name}.json", folder / "levels.json"
    if name == "passes" and not path.is_file() and has_passes(levels):
        return [levels]
    return [path] if path.is_file() else []


def figure_data(name, folder):
    """What the figure `name` shows, None without a result; ResultError names the file."""
    shaped = [shape(plot_data.SHAPES[name], path) for path in files_of(name, folder)]
    if not shaped:
        return None
    return shaped if name == "memory_cap" else shaped[0]


def compact(svg):
    """matplotlib's SVG a quarter smaller, without indentation and turns by nothing, and with fonts for who lacks its own."""
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r" font-family: 'DejaVu Sans';", "", svg)
    svg = svg.replace("</style>", "text{font-family: 'DejaVu Sans', Verdana, sans-serif}</style>", 1)
    return re.sub(r"\s*\n\s*", "\n", svg)


def parse(arguments):
    parser = command_line.Parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(plot_data.SHAPES))
    parser.add_argument("--folder", type=command_line.folder, default=FOLDER)
    parser.add_argument("--to", type=command_line.folder, help="where the figures go, by default beside the results")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    args = parser.parse_args(arguments)
    for name in args.names:
        if name not in plot_data.SHAPES:
            parser.error(f"found {name!r}, expected one of {', '.join(plot_data.SHAPES)}")
    return args


def main(arguments, write=None):
    """`write(name, data, path)` draws; matplotlib's, which is looked for only when there is something to draw, unless given."""
    args = parse(arguments)
    failed = False
    for name in args.names or plot_data.SHAPES:
        try:
            data = figure_data(name, args.folder)
        except plot_data.ResultError as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        if data is None:
            print(f"{name}: skipped, no result in {args.folder}")
            continue
        write = write or matplotlib_writer()
        path = (args.to or args.folder) / f"{name}.{args.format}"
        write(name, data, path)
        if args.format == "svg":
            path.write_text(compact(path.read_text(encoding="utf-8")), encoding="utf-8")
        size = path.stat().st_size
        print(f"{name}: {path}, {size} bytes")
        if args.format == "svg" and size > LARGEST_SVG_BYTES:
            print(f"{path}: {size} bytes, at most {LARGEST_SVG_BYTES} are wanted", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def matplotlib_writer():
    try:
        import plot_drawing
    except ModuleNotFoundError as error:
        sys.exit(f"plots.py: {error.name} is missing: pip install -r bench/requirements.txt")
    return plot_drawing.write


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
