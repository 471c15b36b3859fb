#!/usr/bin/env python3
"""Tests of the tidy rules: each rule must find a snippet that breaks it and leave alone one that does not."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import cpp_rules
import cpp_text
import modules
import text_rules
import tidy
import tree
from tree import SourceFile

CMAKE = """# Modules. qvl_module(not a module)
qvl_module(base      LIBRARIES fmt::fmt)
qvl_module(tensor    USES base)
qvl_module(media     USES base tensor
                     LIBRARIES JPEG::JPEG)
qvl_module(pipeline  USES base tensor media)
"""
MODULES = modules.read_modules(CMAKE)


def rules(findings):
    return [finding.rule for finding in findings]


def header(body, path="src/tensor/x.h"):
    return SourceFile(path, "// What the header is for.\n#pragma once\n" + body)


class ReadingModules(unittest.TestCase):
    def test_names_uses_and_lines(self):
        self.assertEqual(list(MODULES), ["base", "tensor", "media", "pipeline"])
        self.assertEqual(MODULES["base"].uses, ())
        self.assertEqual(MODULES["media"].uses, ("base", "tensor"))
        self.assertEqual(MODULES["pipeline"].line, 6)

    def test_a_module_above_its_use_is_refused(self):
        bad = modules.read_modules("qvl_module(a USES b)\nqvl_module(b USES a)\n")
        found = modules.check_order(bad)
        self.assertEqual([(f.line, f.rule) for f in found], [(1, "module-order")])
        self.assertIn("a uses b", found[0].what)
        self.assertEqual(modules.check_order(MODULES), [])


class IncludeDirection(unittest.TestCase):
    def check(self, path, text):
        return [(f.line, f.rule) for f in modules.check_includes(SourceFile(path, text), MODULES)]

    def test_what_uses_names_is_allowed(self):
        text = '#include "base/error.h"\n#include "media/image.h"\n#include "tensor/shape.h"\n#include <vector>\n'
        self.assertEqual(self.check("src/media/image.cpp", text), [])

    def test_what_uses_does_not_name_is_refused(self):
        self.assertEqual(self.check("src/tensor/a.cpp", '#include "base/error.h"\n#include "media/image.h"\n'),
                         [(2, "include")])

    def test_angle_brackets_do_not_hide_a_module(self):
        self.assertEqual(self.check("src/tensor/a.cpp", "#include <media/image.h>\n"), [(1, "include")])

    def test_a_commented_include_does_not_count(self):
        self.assertEqual(self.check("src/tensor/a.cpp", '// #include "media/image.h"\n/*\n#include "media/b.h"\n*/\n'), [])

    def test_a_file_beside_needs_its_module_name(self):
        self.assertEqual(self.check("src/tensor/a.cpp", '#include "a.h"\n'), [(1, "include")])

    def test_only_the_last_module_implements_the_public_headers(self):
        self.assertEqual(self.check("src/tensor/a.cpp", '#include "qvl/qvl.h"\n'), [(1, "include")])
        for plain in ("error", "system_config", "config_fields", "plan_report"):
            self.assertEqual(self.check("src/tensor/a.cpp", f'#include "qvl/{plain}.h"\n'), [])
        self.assertEqual(self.check("src/pipeline/a.cpp", '#include "qvl/qvl.h"\n'), [])

    def test_apps_see_only_the_public_headers(self):
        self.assertEqual(self.check("apps/cli/a.cpp", '#include "options.h"\n#include "qvl/qvl.h"\n'), [])
        self.assertEqual(self.check("apps/cli/a.cpp", '#include "base/error.h"\n'), [(1, "include")])
        self.assertEqual(self.check("apps/cli/a.cpp", "#include <base/error.h>\n"), [(1, "include")])

    def test_public_headers_show_nothing_of_the_inside(self):
        self.assertEqual(self.check("include/qvl/qvl.h", '#include "qvl/error.h"\n'), [])
        self.assertEqual(self.check("include/qvl/qvl.h", '#include "tensor/a.h"\n'), [(1, "include")])

    def test_no_way_out_of_a_folder(self):
        self.assertEqual(self.check("apps/cli/a.cpp", '#include "../../src/base/error.h"\n'), [(1, "include")])

    def test_a_folder_that_is_not_declared(self):
        self.assertEqual(self.check("src/stray/a.cpp", ""), [(1, "module")])


class CodeOnly(unittest.TestCase):
    def test_comments_strings_and_characters_go_lines_stay(self):
        text = 'int a; // new\nauto b = "new {"; /* new\n{ */ char c = \'{\';\nauto d = R"x(new {\n)" {)x";\n'
        code = cpp_text.code_only(text)
        self.assertEqual(len(code), len(text))
        self.assertEqual(code.count("\n"), text.count("\n"))
        self.assertNotIn("new", code)
        self.assertNotIn("{", code)

    def test_a_quote_in_a_number_opens_no_character(self):
        self.assertIn("rest {", cpp_text.code_only("int n = 1'000'000; rest { char c = 'x';"))

    def test_an_escaped_quote_does_not_end_a_string(self):
        self.assertIn("after", cpp_text.code_only(r'auto a = "\"{"; after'))
        self.assertNotIn("{", cpp_text.code_only(r'auto a = "\"{"; after'))


class Functions(unittest.TestCase):
    def names(self, text):
        return [(f.name, f.first_line, f.last_line, len(f.parameters)) for f in cpp_text.functions(text)]

    def test_plain_functions_in_namespaces_and_classes(self):
        text = ("namespace a::b {\nint f(int x, std::map<int, int> m = {}) {\n  if (x) {\n  }\n  return 1;\n}\n"
                "class C {\n public:\n  int g() const { return 1; }\n};\n}\n")
        self.assertEqual(self.names(text), [("f", 2, 6, 2), ("g", 9, 9, 0)])

    def test_members_constructors_and_operators(self):
        text = ("C::C(int a, int b) : x_(a), y_{b} {\n}\nC::~C() {}\nbool C::operator()(int a) const {\n return a; }\n"
                "bool operator==(const C& a, const C& b) { return true; }\n")
        self.assertEqual(self.names(text), [("C::C", 1, 2, 2), ("C::~C", 3, 3, 0), ("C::operator()", 4, 5, 1),
                                            ("operator==", 6, 6, 2)])

    def test_a_signature_over_several_lines(self):
        text = "template <typename T>\nstd::vector<T>\nf(\n    int a,\n    int b) noexcept -> int {\n  return 1;\n}\n"
        self.assertEqual(self.names(text), [("f", 1, 7, 2)])

    def test_tables_and_types_are_no_functions(self):
        text = ("struct S {\n  int a = f(1);\n};\nconstexpr int kTable[] = {\n  1, f(2),\n};\nenum class E { a, b };\n"
                "const std::map<int, int> m = make({{1, 2}});\n")
        self.assertEqual(self.names(text), [])

    def test_a_lambda_belongs_to_the_function_around_it(self):
        text = "void f() {\n  auto g = [](int a) {\n    return a;\n  };\n}\n"
        self.assertEqual(self.names(text), [("f", 1, 5, 0)])

    def test_a_test_is_a_function(self):
        self.assertEqual(self.names("TEST(Suite, Name) {\n}\nTEST_P(A, B) {\n}\n"), [("TEST", 1, 2, 2), ("TEST_P", 3, 4, 2)])

    def test_a_macro_with_a_brace_in_its_text_changes_nothing(self):
        text = "#define OPEN(x) do { \\\n  x; } while (0) {\nint f() {\n}\n"
        self.assertEqual(self.names(text), [("f", 3, 4, 0)])

    def test_too_long(self):
        body = "  ++x;\n" * 79
        self.assertEqual(rules(cpp_rules.check_functions(SourceFile("src/tensor/a.cpp", f"void f() {{\n{body}}}\n"))),
                         ["function-size"])
        body = "  ++x;\n" * 78
        self.assertEqual(cpp_rules.check_functions(SourceFile("src/tensor/a.cpp", f"void f() {{\n{body}}}\n")), [])

    def test_too_many_parameters(self):
        seven = SourceFile("src/tensor/a.cpp", "void f(int a, int b, int c, int d, int e, int g, int h) {}\n")
        self.assertEqual(rules(cpp_rules.check_functions(seven)), ["parameters"])
        six = SourceFile("src/tensor/a.cpp", "void f(std::pair<int, int> a, int b, int c, int d, int e, int g) {}\n")
        self.assertEqual(cpp_rules.check_functions(six), [])


class Bans(unittest.TestCase):
    def found(self, code, path="src/media/a.cpp"):
        return rules(cpp_rules.check_bans(SourceFile(path, f"void f() {{\n  {code}\n}}\n")))

    def test_each_ban_finds_its_call(self):
        for code, rule in [
                ('auto a = std::getenv("HOME");', "environment"), ('getenv("HOME");', "environment"),
                ('std::system("ls");', "process"), ('FILE* f = popen("ls", "r");', "process"),
                ("strcpy(a, b);", "unsafe-string"), ("strcat(a, b);", "unsafe-string"), ('sprintf(a, "");', "unsafe-string"),
                ("gets(a);", "unsafe-string"), ("atoi(a);", "number-parsing"), ("std::atof(a);", "number-parsing"),
                ("std::stoi(a);", "number-parsing"), ("::strtod(a, &b);", "number-parsing"),
                ("int a = rand();", "random"), ("std::srand(1);", "random"), ('setlocale(LC_ALL, "");', "locale"),
                ("std::regex r;", "regex"), ('printf("x");', "printing"), ('std::fprintf(stderr, "x");', "printing"),
                ('std::cout << "x";', "printing"), ('std::cerr << "x";', "printing"), ('fmt::print("x");', "printing"),
                ("std::exit(1);", "exit"), ("abort();", "exit"), ("std::thread t(g);", "thread"),
                ("auto f = std::async(g);", "thread"), ("int* a = new int;", "raw-memory"), ("delete a;", "raw-memory"),
                ("delete[] a;", "raw-memory"), ("malloc(3);", "raw-memory"), ("std::free(a);", "raw-memory"),
                ("auto* a = reinterpret_cast<const float*>(b);", "reinterpret-cast")]:
            with self.subTest(code=code):
                self.assertEqual(self.found(code), [rule])

    def test_what_only_looks_like_one(self):
        for code in ['// getenv("HOME")', 'auto a = "system(x)";', "filesystem(a);", "file.system(3);", "a->gets(b);",
                     "operands(a);", "S(const S&) = delete;", "int newer = 1;", "out.printf(1);", "context.free(a);",
                     "std::this_thread::yield();", "fmt::format(a);", "av_free(p);", "jpeg_abort(p);",
                     "auto* a = reinterpret_cast<const char*>(b);", "auto* a = reinterpret_cast<const uint8_t*>(b);"]:
            with self.subTest(code=code):
                self.assertEqual(self.found(code), [])

    def test_the_header_new_is_no_use_of_new(self):
        self.assertEqual(rules(cpp_rules.check_bans(SourceFile("src/media/a.cpp", "#include <new>\n"))), [])

    def test_the_header_regex_is_refused(self):
        self.assertEqual(rules(cpp_rules.check_bans(SourceFile("src/media/a.cpp", "#include <regex>\n"))), ["regex"])

    def test_each_place_that_may(self):
        for code, path in [('getenv("HOME");', "src/base/a.cpp"), ("std::thread t(g);", "src/threads/a.cpp"),
                           ("std::thread thread_;", "src/profiler/system_profiler.h"),
                           ("new int;", "src/tensor/a.cpp"), ("malloc(1);", "src/memory/a.cpp"),
                           ('std::fprintf(stderr, "");', "src/base/error.cpp"), ("std::abort();", "src/base/error.cpp"),
                           ("std::cout << 1;", "apps/cli/a.cpp"), ("std::thread t(g);", "src/media/a_test.cpp"),
                           ("reinterpret_cast<const float*>(b);", "src/memory/a.cpp")]:
            with self.subTest(code=code, path=path):
                self.assertEqual(self.found(code, path), [])

    def test_what_nobody_may_not_even_a_test(self):
        for path in ["src/base/a.cpp", "src/media/a_test.cpp", "apps/cli/a.cpp", "tests/cli/a_test.cpp"]:
            with self.subTest(path=path):
                self.assertEqual(self.found('system("ls");', path), ["process"])

    def test_the_line_is_told(self):
        found = cpp_rules.check_bans(SourceFile("src/media/a.cpp", "// one\n\nvoid f() {\n  rand();\n}\n"))
        self.assertEqual(str(found[0]), "src/media/a.cpp:4: random: rand: use <random> with a seed that is an argument")

    def test_using_namespace_in_a_header(self):
        self.assertEqual(rules(cpp_rules.check_bans(header("using namespace std;\n"))), ["using-namespace"])
        self.assertEqual(cpp_rules.check_bans(SourceFile("src/tensor/a.cpp", "using namespace std;\n")), [])


class TopOfFile(unittest.TestCase):
    def test_pragma_once(self):
        self.assertEqual(cpp_rules.check_header_guard(header("int a;\n")), [])
        late = SourceFile("src/tensor/x.h", "// What.\n#include <vector>\n#pragma once\n")
        self.assertEqual(rules(cpp_rules.check_header_guard(late)), ["pragma-once"])
        commented = SourceFile("src/tensor/x.h", "// What.\n// #pragma once\nint a;\n")
        self.assertEqual(rules(cpp_rules.check_header_guard(commented)), ["pragma-once"])

    def purpose(self, path, text, known=()):
        return rules(text_rules.check_purpose(SourceFile(path, text), {path, *known}))

    def test_headers_scripts_and_build_files_say_what_they_are_for(self):
        self.assertEqual(self.purpose("src/a/x.h", "#pragma once\n"), ["purpose"])
        self.assertEqual(self.purpose("src/a/x.h", "// Shapes of tensors.\n#pragma once\n"), [])
        self.assertEqual(self.purpose("tools/x.py", "import os\n"), ["purpose"])
        self.assertEqual(self.purpose("tools/x.py", '#!/usr/bin/env python3\n"""Draws pictures."""\n'), [])
        self.assertEqual(self.purpose("x.sh", "#!/bin/sh\nset -e\n"), ["purpose"])
        self.assertEqual(self.purpose("x.sh", "#!/bin/sh\n# Builds everything.\n"), [])
        self.assertEqual(self.purpose("src/CMakeLists.txt", "add_library(a)\n"), ["purpose"])

    def test_a_source_beside_its_header_needs_none(self):
        self.assertEqual(self.purpose("src/a/x.cpp", '#include "a/x.h"\n', ["src/a/x.h"]), [])
        self.assertEqual(self.purpose("src/a/x_test.cpp", '#include "a/x.h"\n', ["src/a/x.h"]), [])
        self.assertEqual(self.purpose("src/a/x.cpp", "#include <vector>\n"), ["purpose"])


class Text(unittest.TestCase):
    def check(self, check, text, path="src/a/x.cpp"):
        return [(f.line, f.rule) for f in check(SourceFile(path, text))]

    def test_length(self):
        self.assertEqual(self.check(text_rules.check_length, "a\n" * 500), [])
        self.assertEqual(self.check(text_rules.check_length, "a\n" * 501), [(501, "file-size")])
        self.assertEqual(self.check(text_rules.check_length, "a\n" * 501, "docs/x.md"), [])

    def test_white_space(self):
        self.assertEqual(self.check(text_rules.check_white_space, "a\nb \n\tc\nd\n"), [(2, "trailing-space"), (3, "tab")])
        self.assertEqual(self.check(text_rules.check_white_space, "a"), [(1, "last-line")])
        self.assertEqual(self.check(text_rules.check_white_space, "a \n", "models/x/merges.txt"), [])
        self.assertEqual(self.check(text_rules.check_white_space, "{}", "docs/experiments/levels.json"), [])
        self.assertEqual(self.check(text_rules.check_white_space, "{}", "docs/levels.json"), [(1, "last-line")])

    def test_marks_of_unfinished_work(self):
        for word in ["TO" "DO", "FIX" "ME", "XX" "X"]:
            self.assertEqual(self.check(text_rules.check_words, f"a\n// {word}: b\n"), [(2, "unfinished")])
        self.assertEqual(self.check(text_rules.check_words, "no TO" "DOs\n"), [])

    def test_machine_paths_even_in_data(self):
        for path in ["/wo" "rk/main", "/ro" "ot/x", "/ho" "me/ann/models"]:
            self.assertEqual(self.check(text_rules.check_words, f"see {path}\n"), [(1, "machine-path")])
        self.assertEqual(self.check(text_rules.check_words, '{"a": "/ro' 'ot/x"}', "models/x/config.json"),
                         [(1, "machine-path")])
        self.assertEqual(self.check(text_rules.check_words, "src/wo" "rk/a and ~/ro" "ot/\n"), [])


class Links(unittest.TestCase):
    texts = {"docs/a.md": "# Title\n\n## Block formats, `GGUF`\n\n```\n# no heading\n```\n", "README.md": ""}
    known = {"docs/a.md", "README.md", "docs/picture.svg", "models/shapes/config.json"}

    def check(self, text, path="README.md"):
        return rules(text_rules.check_links(SourceFile(path, text), self.texts, self.known))

    def test_links_that_lead_somewhere(self):
        for text in ["[a](docs/a.md)", "[a](docs/a.md#block-formats-gguf)", "![a](docs/picture.svg)", "[a](models/shapes/)",
                     "[a](https://example.org/x)", "`[a](gone.md)`", "```\n[a](gone.md)\n```"]:
            with self.subTest(text=text):
                self.assertEqual(self.check(text), [])
        self.assertEqual(self.check("[a](../README.md) [b](#title)", "docs/a.md"), [])
        self.assertEqual(self.check("[b](#titel)", "docs/a.md"), ["link"])

    def test_links_that_do_not(self):
        for text in ["[a](gone.md)", "[a](docs/a.md#gone)", "[a](docs/a.md#no-heading)", "[a](../outside.md)", "![a](gone.png)"]:
            with self.subTest(text=text):
                self.assertEqual(self.check(text), ["link"])

    def test_headings_named_in_comments(self):
        def check(text):
            return rules(text_rules.check_heading_references(SourceFile("src/a/x.h", text), self.texts))
        for page, heading, expected in [("docs/a.md", "Block formats", []), ("docs/a.md", "Blocks", ["link"]),
                                        ("docs/gone.md", "Block formats", ["link"])]:
            self.assertEqual(check(f'// Formats: {page}, "{heading}".\n'), expected)


class Format(unittest.TestCase):
    def test_the_report_of_clang_format(self):
        report = ("./src/a.cpp:3:7: error: code should be clang-formatted [-Wclang-format-violations]\nint  a;\n      ^\n"
                  "./src/a.cpp:9:1: error: code should be clang-formatted [-Wclang-format-violations]\n")
        found = tidy.read_format_report(report, ".")
        self.assertEqual([str(f) for f in found], ["src/a.cpp:3: format: not as clang-format lays it out"])


class WholeTree(unittest.TestCase):
    def test_what_belongs_to_the_project(self):
        with tempfile.TemporaryDirectory() as root:
            for path in ["a.h", "build/b.h", "build-x/c.h", ".git/d", "src/build/e.h", "tools/__pycache__/f.pyc"]:
                (Path(root) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(root) / path).write_text("x\n", encoding="utf-8")
            self.assertEqual(list(tree.paths(root)), ["a.h", "src/build/e.h"])

    def test_data_is_not_read_as_text(self):
        with tempfile.TemporaryDirectory() as root:
            (Path(root) / "a.png").write_bytes(b"\x89PNG\0")
            (Path(root) / "b.txt").write_bytes(b"\xff\xfe")
            self.assertIsNone(tree.read_text(root, "a.png"))
            self.assertIsNone(tree.read_text(root, "b.txt"))

    def test_the_command_prints_and_fails(self):
        program = Path(__file__).with_name("tidy.py")
        with tempfile.TemporaryDirectory() as root:
            (Path(root) / "src" / "base").mkdir(parents=True)
            (Path(root) / "src" / "CMakeLists.txt").write_text("# Modules of the program.\nqvl_module(base)\n", encoding="utf-8")
            (Path(root) / "src" / "base" / "a.cpp").write_text("// What it is for.\nint a = rand();\n", encoding="utf-8")
            done = subprocess.run([sys.executable, "-B", program, root], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("src/base/a.cpp:2: random: rand", done.stdout)
            (Path(root) / "src" / "base" / "a.cpp").write_text("// What it is for.\nint a = 1;\n", encoding="utf-8")
            done = subprocess.run([sys.executable, "-B", program, root], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
