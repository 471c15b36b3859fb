"""Rules for every text file: length, white space, a purpose in the first line, words that must not stand there, links."""
import re
from pathlib import PurePosixPath

from tree import Finding

FILE_LINES = 500
CODE = {".cpp", ".h", ".py", ".sh", ".cmake"}
PROSE = {".md"}
DATA_FOLDERS = ("models/", "tests/golden/", "tests/data/", "docs/experiments/")
MARKS = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(?:work|root|farm|home/[a-z]\w*)/")
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^ {0,3}(```|~~~)")
HEADING_REFERENCE = re.compile(r'([\w./-]+\.md), "([^"\n]+)"')


def is_data(source):
    return source.path.startswith(DATA_FOLDERS) and source.suffix not in PROSE


def is_code(source):
    first = source.lines[0]
    return source.suffix in CODE or source.parts[-1] == "CMakeLists.txt" or first.startswith("#!")


def check_length(source):
    count = source.text.count("\n")
    if is_code(source) and count > FILE_LINES:
        return [Finding(source.path, FILE_LINES + 1, "file-size", f"{count} lines, at most {FILE_LINES} are allowed")]
    return []


def check_white_space(source):
    if is_data(source) or not (is_code(source) or source.suffix in PROSE or source.suffix == ".json"):
        return []
    findings = []
    for number, line in enumerate(source.lines, 1):
        if "\t" in line:
            findings.append(Finding(source.path, number, "tab", "a tab"))
        if line != line.rstrip():
            findings.append(Finding(source.path, number, "trailing-space", "white space at the end of the line"))
    if source.text and not source.text.endswith("\n"):
        findings.append(Finding(source.path, len(source.lines), "last-line", "no line end after the last line"))
    return findings


def check_words(source):
    findings = []
    for number, line in enumerate(source.lines, 1):
        if match := MACHINE_PATH.search(line):
            findings.append(Finding(source.path, number, "machine-path", f"{match.group()} names somebody's machine"))
        if not is_data(source) and (match := MARKS.search(line)):
            findings.append(Finding(source.path, number, "unfinished", f"{match.group()}: finish it or open an issue"))
    return findings


def check_purpose(source, known_paths):
    """Every file of code says in its first line what it is for; a source beside its header leaves that to the header."""
    if not is_code(source):
        return []
    lines = source.lines[1:] if source.lines[0].startswith("#!") else source.lines
    first = lines[0].strip() if lines else ""
    if source.suffix == ".cpp" and not first.startswith("//"):
        stem = source.path.removesuffix(".cpp")
        tested = stem.removesuffix("_test")
        if f"{stem.removesuffix('_scalar')}.h" in known_paths or {f"{tested}.h", f"{tested}.cpp"} & (known_paths - {source.path}):
            return []
    if source.is_cpp:
        said = first.startswith("// ") and len(first) > 10
    elif source.suffix == ".py":
        said = first.startswith(('"""', '# ', 'r"""')) and len(first) > 10
    else:
        said = first.startswith("# ") and len(first) > 10
    if said or source.path == "CMakeLists.txt":
        return []
    return [Finding(source.path, 1, "purpose", "the first line says what the file is for")]


def slug(heading):
    """The anchor a Markdown page gives to a heading."""
    words = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def prose_lines(text):
    """(number, line) of what is not inside a code fence."""
    fence = None
    for number, line in enumerate(text.split("\n"), 1):
        match = FENCE.match(line)
        if match and fence in (None, match.group(1)):
            fence = None if fence else match.group(1)
        elif fence is None:
            yield number, line


def headings(text):
    return [line.lstrip("#").strip() for _, line in prose_lines(text) if re.match(r"#{1,6} ", line)]


def resolve(path, target):
    """`target` as seen from the file at `path`, relative to the root; None where it climbs out of the repository."""
    parts = list(PurePosixPath(path).parent.parts)
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in (".", ""):
            parts.append(part)
    return "/".join(parts)


def check_links(source, texts, known_paths):
    """Links of a Markdown page lead to files and headings that are there."""
    if source.suffix != ".md":
        return []
    folders = {str(parent) for path in known_paths for parent in PurePosixPath(path).parents}
    findings = []
    for number, line in prose_lines(source.text):
        for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
            target, _, anchor = match.group(1).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            path = resolve(source.path, target) if target else source.path
            if path is None or (path not in known_paths and path not in folders):
                findings.append(Finding(source.path, number, "link", f"{target} is not there"))
            elif anchor and path in texts and anchor not in {slug(h) for h in headings(texts[path])}:
                findings.append(Finding(source.path, number, "link", f"{path} has no heading #{anchor}"))
    return findings


def check_heading_references(source, texts):
    """A page and a heading, as in `PAGE, "Block formats"`, that a comment names lead to something."""
    findings = []
    if not is_code(source):
        return findings
    for number, line in enumerate(source.lines, 1):
        for match in HEADING_REFERENCE.finditer(line):
            page, heading = match.groups()
            if page not in texts:
                findings.append(Finding(source.path, number, "link", f"{page} is not there"))
            elif not any(heading.lower() in h.lower() for h in headings(texts[page])):
                findings.append(Finding(source.path, number, "link", f'{page} has no heading "{heading}"'))
    return findings
