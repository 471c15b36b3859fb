"""Who may include whom: the USES lines of src/CMakeLists.txt are the law, the includes must keep it."""
import re
from dataclasses import dataclass

from cpp_text import code_only
from tree import Finding

CALL = re.compile(r"qvl_module\s*\(([^)]*)\)")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
# Plain data that modules share with applications.
PUBLIC_FOR_ALL = ("qvl/error.h", "qvl/system_config.h", "qvl/config_fields.h", "qvl/plan_report.h",
                  "qvl/checkpoint_in_memory.h")


@dataclass(frozen=True)
class Module:
    name: str
    uses: tuple
    line: int


def read_modules(cmake_text):
    """The modules in the order they are declared."""
    without_comments = re.sub(r"#[^\n]*", "", cmake_text)
    modules = {}
    for match in CALL.finditer(without_comments):
        words = match.group(1).split()
        uses, reading = [], False
        for word in words[1:]:
            if word in ("USES", "LIBRARIES"):
                reading = word == "USES"
            elif reading:
                uses.append(word)
        modules[words[0]] = Module(words[0], tuple(uses), without_comments.count("\n", 0, match.start()) + 1)
    return modules


def check_order(modules, path="src/CMakeLists.txt"):
    """A module may only use what is declared above it: so there are no cycles."""
    above, findings = set(), []
    for module in modules.values():
        for used in module.uses:
            if used not in above:
                findings.append(Finding(path, module.line, "module-order",
                                        f"{module.name} uses {used}, which is not declared above it"))
        above.add(module.name)
    return findings


def includes(text):
    """(line, bracket, target) of every include; a commented one does not count."""
    for match in INCLUDE.finditer(code_only(text)):
        yield text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2).strip()


def why_not(source, target, modules, bracket):
    """What is wrong with this include, or None."""
    owner = target.split("/")[0] if "/" in target else None
    module, top = source.module, source.parts[0]
    if module is not None:
        if owner == "qvl":
            last = list(modules)[-1]
            if target not in PUBLIC_FOR_ALL and module != last:
                return f"only {last} implements the public headers; others may include {', '.join(PUBLIC_FOR_ALL)} alone"
        elif owner in modules:
            if owner != module and owner not in modules[module].uses:
                return f"{module} may not use {owner} (it uses: {', '.join(modules[module].uses) or 'nothing'})"
        elif bracket == '"':
            return "a quoted include names a module and a file: \"module/file.h\""
    elif top in ("include", "apps", "python"):
        if owner in modules or (bracket == '"' and owner not in ("qvl", None) and top == "include"):
            return f"{top}/ sees only include/qvl"
    return None


def check_includes(source, modules):
    findings = []
    if not source.is_cpp:
        return findings
    if source.module is not None and source.module not in modules:
        return [Finding(source.path, 1, "module", f"src/{source.module} is not declared in src/CMakeLists.txt")]
    for line, bracket, target in includes(source.text):
        if ".." in target.split("/"):
            findings.append(Finding(source.path, line, "include", f"{target} climbs out of its folder"))
        elif reason := why_not(source, target, modules, bracket):
            findings.append(Finding(source.path, line, "include", f"{target}: {reason}"))
    return findings
