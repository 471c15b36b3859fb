#!/usr/bin/env python3
"""Checks the repository against its own rules: prints `file:line: rule: what was found`, exits 1 where there is any.

    tools/tidy/tidy.py [ROOT]

The rules are listed in CONTRIBUTING.md. A rule that is wrong is changed here, with its test; there is no way to switch
one off at a single place.
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cpp_rules
import modules
import text_rules
import tree
from tree import Finding

FORMAT_VERSION = "14"          # of clang-format; others lay out some lines differently
FORMAT_REPORT = re.compile(r"^(.*?):(\d+):\d+: error: code should be clang-formatted")


def check_tree(sources, known_paths):
    """All rules but the layout over `sources`. `known_paths` holds the data files too, which links may name."""
    texts = {source.path: source.text for source in sources}
    declared = modules.read_modules(texts.get("src/CMakeLists.txt", ""))
    findings = modules.check_order(declared)
    for source in sources:
        findings += modules.check_includes(source, declared)
        findings += cpp_rules.check_bans(source) + cpp_rules.check_functions(source)
        findings += cpp_rules.check_header_guard(source)
        findings += text_rules.check_length(source) + text_rules.check_white_space(source)
        findings += text_rules.check_words(source) + text_rules.check_purpose(source, known_paths)
        findings += text_rules.check_links(source, texts, known_paths)
        findings += text_rules.check_heading_references(source, texts)
    return findings


def read_format_report(report, root):
    """Findings from what `clang-format --dry-run` wrote; the first of each file says enough."""
    findings = {}
    for line in report.split("\n"):
        if match := FORMAT_REPORT.match(line):
            path = Path(match.group(1)).resolve().relative_to(Path(root).resolve()).as_posix()
            findings.setdefault(path, Finding(path, int(match.group(2)), "format", "not as clang-format lays it out"))
    return list(findings.values())


def check_format(root, cpp_paths):
    """(findings, None), or ([], why the layout was not checked)."""
    program = shutil.which(f"clang-format-{FORMAT_VERSION}") or shutil.which("clang-format")
    if program is None:
        return [], "clang-format is not installed"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if not re.search(rf"version {FORMAT_VERSION}\.", version):
        return [], f"clang-format {FORMAT_VERSION} is needed, found {version.strip()}"
    files = [str(Path(root) / path) for path in cpp_paths]
    done = subprocess.run([program, "--dry-run", "--Werror", "--ferror-limit=1", *files], capture_output=True, text=True,
                          check=False)
    return read_format_report(done.stderr, root), None


def main(arguments):
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    known_paths = set(tree.paths(root))
    sources = [source for path in sorted(known_paths) if (source := tree.read_text(root, path))]
    findings = check_tree(sources, known_paths)
    layout, skipped = check_format(root, [s.path for s in sources if s.is_cpp])
    for finding in sorted(findings + layout):
        print(finding)
    if skipped:
        print(f"layout not checked: {skipped}")
    print(f"{len(sources)} text files, {len(findings + layout)} findings")
    return 1 if findings + layout else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
