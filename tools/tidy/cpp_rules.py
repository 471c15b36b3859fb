"""Rules for C++: sizes, calls that are not allowed, what stands at the top of a file."""
import re
from dataclasses import dataclass

from cpp_text import code_only, functions
from tree import Finding

FUNCTION_LINES, PARAMETERS = 80, 6


@dataclass(frozen=True)
class Ban:
    """A pattern that only the named places may contain. Places are prefixes of paths."""
    rule: str
    pattern: re.Pattern
    reason: str
    allowed: tuple = ()
    inside: tuple = ("src/", "include/", "apps/", "tests/")
    tests_too: bool = True


def calls(*names):
    """A call of one of the free functions; a member of that name is another thing."""
    return re.compile(r"(?<![\w.])(?<!->)(?:std::|::)?(?:" + "|".join(names) + r")\s*\(")


BYTES = r"(?:const\s+)?(?:std::)?(?:unsigned char|signed char|char|byte|u?int8_t)\s*(?:const\s*)?\*"

BANS = [
    Ban("environment", calls("getenv", "secure_getenv", "setenv", "putenv", "unsetenv"),
        "the environment is read in base/ only", allowed=("src/base/",), tests_too=False),
    Ban("process", calls("system", "popen", "execl", "execlp", "execv", "execvp", "fork", "vfork", "posix_spawn"),
        "no other programs are started"),
    Ban("unsafe-string", calls("strcpy", "strncpy", "strcat", "strncat", "sprintf", "vsprintf", "gets", "strtok", "alloca"),
        "writes without knowing the end; use std::string or fmt::format"),
    Ban("number-parsing", calls("atoi", "atol", "atoll", "atof", "strtol", "strtoul", "strtoll", "strtoull", "strtod",
                                "strtof", "sscanf", "stoi", "stol", "stoul", "stoll", "stoull", "stod", "stof"),
        "hides errors or obeys the locale; use std::from_chars"),
    Ban("random", calls("rand", "srand", "drand48"), "use <random> with a seed that is an argument"),
    Ban("locale", calls("setlocale", r"locale::global"), "numbers are read and written without the locale"),
    Ban("regex", re.compile(r"\bstd::(?:basic_|w)?regex\b|#\s*include\s*<regex>"), "std::regex recurses on long input"),
    Ban("printing", re.compile(r"(?<![\w.:])(?:std::)?(?:printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror)\s*\("
                               r"|\bstd::(?:cout|cerr|clog)\b|\bfmt::print(?:ln)?\b"),
        "the library never prints", allowed=("src/base/error.cpp",), inside=("src/", "include/"), tests_too=False),
    Ban("exit", calls("exit", "_exit", "_Exit", "quick_exit", "abort", "terminate"), "the library never ends the program",
        allowed=("src/base/error.cpp",), inside=("src/", "include/"), tests_too=False),
    Ban("thread", re.compile(r"\bstd::(?:jthread|thread|async)\b|\bpthread_create\b"), "threads are made in threads/ and by the sampler only",
        allowed=("src/threads/", "src/profiler/system_profiler."), inside=("src/", "include/"), tests_too=False),
    Ban("raw-memory", re.compile(r"(?<!operator )\bnew\b(?!>)|(?<!operator )(?<!= )\bdelete\b"
                                 r"|(?<![\w.>])(?:std::|::)?(?:malloc|calloc|realloc|aligned_alloc|posix_memalign|free)\s*\("),
        "memory is owned by values, containers and unique_ptr",
        allowed=("src/tensor/", "src/memory/", "src/base/counted_allocations.h"), tests_too=False),
    Ban("reinterpret-cast", re.compile(r"\breinterpret_cast\s*<(?!\s*" + BYTES + r"\s*>)"),
        "bytes of a file are copied into a value (std::memcpy); only pointers to bytes may be made this way",
        allowed=("src/tensor/", "src/memory/", "src/kernels/", "src/media/jpeg.cpp"), inside=("src/", "include/"), tests_too=False),
]
USING_NAMESPACE = re.compile(r"\busing\s+namespace\b")


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def check_bans(source):
    if not source.is_cpp:
        return []
    code, findings = code_only(source.text), []
    for ban in BANS:
        if not source.path.startswith(ban.inside) or source.path.startswith(ban.allowed or ("\0",)):
            continue
        if source.is_test and not ban.tests_too:
            continue
        for match in ban.pattern.finditer(code):
            shown = " ".join(match.group().split()).rstrip("( ")
            findings.append(Finding(source.path, line_of(code, match.start()), ban.rule, f"{shown}: {ban.reason}"))
    if source.is_header:
        for match in USING_NAMESPACE.finditer(code):
            findings.append(Finding(source.path, line_of(code, match.start()), "using-namespace",
                                    "a header must not open a namespace for its readers"))
    return findings


def check_functions(source):
    findings = []
    if not source.is_cpp:
        return findings
    for function in functions(source.text):
        if function.lines > FUNCTION_LINES:
            findings.append(Finding(source.path, function.first_line, "function-size",
                                    f"{function.name} has {function.lines} lines, at most {FUNCTION_LINES} are allowed"))
        if len(function.parameters) > PARAMETERS:
            findings.append(Finding(source.path, function.first_line, "parameters",
                                    f"{function.name} has {len(function.parameters)} parameters, at most {PARAMETERS} "
                                    "are allowed; make them a struct"))
    return findings


def check_header_guard(source):
    if not source.is_header:
        return []
    code = [line.strip() for line in code_only(source.text).split("\n") if line.strip()]
    if not code or code[0] != "#pragma once":
        return [Finding(source.path, 1, "pragma-once", "the first code of a header is #pragma once")]
    return []
