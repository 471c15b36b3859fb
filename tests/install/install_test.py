"""qvl as a library for others: installed, found by find_package, linked, and right about a picture."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

BUILD = os.environ["QVL_BUILD_DIR"]
SOURCE = pathlib.Path(os.environ["QVL_SOURCE_DIR"])
CMAKE = os.environ["QVL_CMAKE"]
MODEL = SOURCE / "models/shapes"
EXAMPLES = SOURCE / "examples"

PAGES = {"cpp": "docs/cpp.md", "pipeline": "docs/pipeline.md", "readme": "README.md"}
STANDARD = ("chrono", "future", "iostream", "memory", "string", "thread", "vector")
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(snippets LANGUAGES CXX)
find_package(qvl 0.1 REQUIRED)
foreach(page {})
  add_executable(${{page}} ${{page}}.cpp)
  target_link_libraries(${{page}} PRIVATE qvl::qvl)
endforeach()
"""


def snippets(page):
    """A program of the pieces of C++ on a page: each is a function of its own, and main calls them in their order."""
    pieces = re.findall(r"^```cpp\n(.*?)^```", (SOURCE / page).read_text(), re.DOTALL | re.MULTILINE)
    includes = [f"#include <{name}>" for name in STANDARD]
    functions = []
    for number, piece in enumerate(pieces):
        includes += re.findall("^#include .*", piece, re.MULTILINE)
        functions.append(f"void piece{number}() {{\n" + re.sub("^#include .*", "", piece, flags=re.MULTILINE) + "}\n")
    calls = "".join(f"  piece{number}();\n" for number in range(len(pieces)))
    return "\n".join([*includes, *functions, f"int main() {{\n{calls}}}\n"])


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        root = pathlib.Path(cls.folder.name)
        cls.prefix, cls.build = root / "a prefix", root / "build"
        cls.cmake("--install", BUILD, "--prefix", cls.prefix, "--component", "devel")
        cls.build_project(EXAMPLES / "cpp", cls.build)

    @classmethod
    def build_project(cls, source, build):
        cls.cmake("-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={cls.prefix}", f"-DCMAKE_CXX_FLAGS={os.environ['QVL_CXX_FLAGS']}",
                  f"-DCMAKE_CXX_COMPILER={os.environ['QVL_CXX_COMPILER']}", "-DCMAKE_BUILD_TYPE=Release")
        cls.cmake("--build", build)

    @staticmethod
    def cmake(*args):
        result = subprocess.run([CMAKE, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert result.returncode == 0, result.stdout
        return result.stdout

    def example(self, name, *args, code=0):
        result = subprocess.run([self.build / name, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def test_nothing_of_the_source_tree_is_needed(self):
        headers = sorted(path.name for path in (self.prefix / "include/qvl").iterdir())
        self.assertEqual(headers, sorted(path.name for path in (SOURCE / "include/qvl").iterdir()))
        for path in self.prefix.rglob("*.cmake"):
            self.assertNotIn(str(SOURCE), path.read_text(), path)

    def test_another_version_is_refused(self):
        (self.build / "other").mkdir()
        (self.build / "other/CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(other LANGUAGES CXX)\nfind_package(qvl 0.2 REQUIRED)\n")
        with self.assertRaisesRegex(AssertionError, r'compatible\s+with\s+requested\s+version\s+"0\.2"'):
            self.cmake("-S", self.build / "other", "-B", self.build / "other/build", f"-DCMAKE_PREFIX_PATH={self.prefix}")

    def test_a_picture_is_asked_about(self):
        self.assertIn("heart", self.example("ask", MODEL, EXAMPLES / "blue-heart.png").stdout)
        refused = self.example("ask", MODEL, "missing.png", code=4)
        self.assertEqual((refused.stdout, refused.stderr),
                         ("", "ask: missing.png: cannot open: No such file or directory\n"))

    def test_a_folder_is_captioned(self):
        folder = self.build / "pictures"
        folder.mkdir()
        names = ["blue-heart.png", "white-cross.webp"]
        for name in names:
            (folder / name).write_bytes((EXAMPLES / name).read_bytes())
        (folder / "c.txt").write_text("no picture")
        lines = [line.split("\t") for line in self.example("caption_folder", MODEL, folder).stdout.splitlines()]
        self.assertEqual([name for name, _ in lines], ["blue-heart.png", "c.txt", "white-cross.webp"])
        self.assertIn("blue heart", lines[0][1])
        self.assertEqual(lines[1][1], f"({folder}/c.txt: found no known picture format, expected JPEG, PNG, WebP or GIF)")
        self.assertIn("white cross", lines[2][1])

    def test_a_model_of_ones_own_answers(self):
        files = [EXAMPLES / "blue-heart.png", EXAMPLES / "white-cross.webp"]
        self.assertEqual(self.example("own_model", *files).stdout,
                         "".join(f"{file.stat().st_size} bytes\n" for file in files))

    def test_the_parts_of_the_system_layer_work_without_a_model(self):
        (self.build / "bytes").write_bytes(b"abbbc")
        done = self.example("system_parts", self.build / "bytes")
        self.assertEqual(done.stdout, "bytes: byte 98 comes 3 times\n")
        report = json.loads(done.stderr)
        self.assertEqual(list(report), ["system_summary", "hardware_info", "memory_efficiency", "resource_status", "operation_count", "uptime",
                                        "config"])
        self.assertEqual(report["operation_count"], 1)

    def test_what_is_missing_is_one_line(self):
        for args, code, message in ((("system_parts", "missing"), 6, "missing: cannot be read: No such file or directory"),
                                    (("own_model", "missing"), 4, "missing: no size: No such file or directory"),
                                    (("own_model", EXAMPLES), 4, f"{EXAMPLES}: no size: Is a directory"),
                                    (("caption_folder", MODEL, "missing"), 2, "missing: cannot open: No such file or directory"),
                                    (("caption_folder", "missing", EXAMPLES), 3, "missing: cannot open: No such file or directory")):
            refused = self.example(*args, code=code)
            self.assertEqual((refused.stdout, refused.stderr), ("", f"{args[0]}: {message}\n"))

    def test_the_pieces_of_the_documentation_compile_and_those_of_the_page_on_cpp_run(self):
        project = self.build / "snippets"
        project.mkdir()
        for name, page in PAGES.items():
            (project / f"{name}.cpp").write_text(snippets(page))
        (project / "CMakeLists.txt").write_text(PROJECT.format(" ".join(PAGES)))
        self.build_project(project, project / "build")
        done = subprocess.run([project / "build" / "cpp"], cwd=SOURCE, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertIn("heart", lines[0])
        self.assertRegex(done.stdout, r"(?m)^.*, cancelled: 1$")
        self.assertRegex(done.stdout, r"(?m)^2 more, [\d.e+]+ tokens a second$")
        self.assertIn("42", lines)
        self.assertEqual(lines[-1], "echo")


if __name__ == "__main__":
    unittest.main()
