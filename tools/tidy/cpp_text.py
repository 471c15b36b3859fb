"""Reading C++ well enough for the rules: code without comments and strings, and where functions begin and end.

This is a matcher of braces, not a parser: it follows the shape that clang-format gives to the project's code.
"""
import re
from dataclasses import dataclass

TOKENS = re.compile(
    r'''(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<raw>R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)")
      | (?P<string>"(?:\\.|[^"\\\n])*")
      | (?P<digits>\b\d[\w.]*(?:'\w+)+)
      | (?P<character>'(?:\\.|[^'\\\n])+')''',
    re.DOTALL | re.VERBOSE)


def blank(text):
    """Spaces in place of everything but line ends, so that columns and lines stay."""
    return re.sub(r"[^\n]", " ", text)


def code_only(text):
    """The text with comments, strings and character literals blanked. Includes keep their file name."""
    def replace(match):
        if match.lastgroup == "digits" or match.group("digits"):
            return match.group()
        start = text.rfind("\n", 0, match.start()) + 1
        if match.group("string") and text[start:match.start()].replace(" ", "") == "#include":
            return match.group()
        return blank(match.group())
    return TOKENS.sub(replace, text)


@dataclass(frozen=True)
class Function:
    name: str
    first_line: int
    last_line: int
    parameters: tuple

    @property
    def lines(self):
        return self.last_line - self.first_line + 1


OPEN, CLOSE = "([{", ")]}"
NOT_FUNCTIONS = {"if", "for", "while", "switch", "catch", "return", "do", "else", "alignas", "decltype", "noexcept",
                 "requires", "sizeof", "__attribute__", "defined"}
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b")
CALLED = re.compile(r"((?:[\w~]+(?:<[^()]*>)?::)*(?:operator\s*(?:\(\s*\)|[^\s\w(]+|\w+)|~?\w+)|\])\s*\(")
ACCESS = re.compile(r"\s*(?:public|private|protected)\s*:(?!:)")
PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)


def matching(code, at):
    """The index of the bracket that closes the one at `at`, or the end of the text."""
    depth = 0
    for i in range(at, len(code)):
        if code[i] in OPEN:
            depth += 1
        elif code[i] in CLOSE:
            depth -= 1
            if depth == 0:
                return i
    return len(code) - 1


def split_parameters(text):
    """'int a, std::map<int, int> b' as its two parts."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        if c in "([{<":
            depth += 1
        elif c in ")]}" or (c == ">" and text[i - 1] != "-"):
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return tuple(p for p in (" ".join(part.split()) for part in parts) if p and p != "void")


def signature(head):
    """(name, parameters) of the function that `head` introduces, or None."""
    at = 0
    while match := CALLED.search(head, at):
        opening = match.end() - 1
        closing = matching(head, opening)
        name = match.group(1).strip()
        if name not in NOT_FUNCTIONS:
            return ("lambda" if name == "]" else name), split_parameters(head[opening + 1:closing])
        at = closing
    return None


def is_member_initializer(head):
    """Whether a brace after `head` gives a value to a member of a constructor: Name(...) : member_ <here>."""
    depth, colon = 0, None
    for i, c in enumerate(head):
        if c in OPEN:
            depth += 1
        elif c in CLOSE:
            depth -= 1
        elif c == ":" and depth == 0 and head[i - 1:i] != ":" and head[i + 1:i + 2] != ":" and ")" in head[:i]:
            colon = i
            break
    return colon is not None and re.search(r"[\w>]\s*$", head) is not None


def functions(text):
    """Every function with a body, in order. Lambdas and local types belong to the function around them."""
    code = PREPROCESSOR.sub(lambda m: blank(m.group()), code_only(text))
    found, at, start = [], 0, 0
    while at < len(code):
        c = code[at]
        if c == "(" or c == "[":
            at = matching(code, at)
        elif c in ";}":
            start = at + 1
        elif c == "{":
            if label := ACCESS.match(code, start, at):
                start = label.end()
            head = code[start:at]
            if is_member_initializer(head):
                at = matching(code, at)
            elif (SCOPE.search(head) and not head.rstrip().endswith((")", "const", "override"))) or not head.strip():
                start = at + 1                     # into a namespace or a type
            else:
                end = matching(code, at)
                made = signature(head)
                if made and not re.search(r"(?<!operator)(?<![=!<>])=[^=].*$", re.sub(r"\(.*\)", "", head, flags=re.DOTALL)):
                    begin = start + len(head) - len(head.lstrip())
                    found.append(Function(made[0], code.count("\n", 0, begin) + 1, code.count("\n", 0, end) + 1, made[1]))
                at = end
                start = at + 1
        at += 1
    return found
