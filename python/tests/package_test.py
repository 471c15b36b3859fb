"""The package as a whole: its stubs, its version, and the examples of docs/python.md."""
import ast
import doctest
import enum
import os
import re
import unittest
from pathlib import Path

import qvl
from qvl import _core

SOURCE = Path(os.environ["QVL_SOURCE_DIR"])
DOCUMENTED_SPECIAL = {"__copy__", "__deepcopy__"}


def is_shown(name):
    return not name.startswith("_") or name in DOCUMENTED_SPECIAL


def stub_members(node):
    """Names that a class of the stub has."""
    names = set()
    for each in node.body:
        if isinstance(each, ast.FunctionDef):
            names.add(each.name)
        elif isinstance(each, ast.AnnAssign):
            names.add(each.target.id)
    return {name for name in names if is_shown(name)}


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stub = ast.parse((SOURCE / "python" / "qvl" / "_core.pyi").read_text(encoding="utf-8"))

    def test_the_stub_names_what_the_module_has(self):
        named = {node.name for node in self.stub.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        self.assertEqual(named, {name for name in vars(_core) if is_shown(name)})

    def test_classes_of_the_stub_have_the_members_of_the_module(self):
        for node in self.stub.body:
            if not isinstance(node, ast.ClassDef) or not node.body or not stub_members(node):
                continue
            with self.subTest(node.name):
                members = vars(getattr(_core, node.name))
                self.assertEqual(stub_members(node), {name for name in members if is_shown(name)})

    def test_what_the_stub_leaves_open_is_plain_data_of_the_package(self):
        open_classes = [node.name for node in self.stub.body
                        if isinstance(node, ast.ClassDef) and not stub_members(node)]
        self.assertEqual(open_classes, ["WeightPrecision", "KvPrecision", "Measure", "VideoPrompt", "PromptForm", "RequestClass",
                                        "LoadOptions", "LogitsRequest", "GenerationOptions", "ConversationOptions",
                                        "InferenceRequest", "TensorInputs", "BatchMedia"])
        for name in open_classes[:6]:
            self.assertTrue(issubclass(getattr(_core, name), enum.Enum))

    def test_configuration_in_the_stub_is_the_table_of_fields(self):
        config = next(node for node in self.stub.body
                      if isinstance(node, ast.ClassDef) and node.name == "SystemOptimizationConfig")
        init = next(each for each in config.body if isinstance(each, ast.FunctionDef) and each.name == "__init__")
        defaults = {argument.arg: ast.literal_eval(default)
                    for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults)}
        self.assertEqual(defaults, qvl.SystemOptimizationConfig().to_dict())

    def test_every_public_name_is_there_and_explained(self):
        self.assertEqual(qvl.__all__, sorted(qvl.__all__))
        for name in qvl.__all__:
            thing = getattr(qvl, name)
            if isinstance(thing, type):
                self.assertTrue(thing.__doc__, name)

    def test_versions_agree(self):
        for path, pattern in (("pyproject.toml", r'^version = "([\d.]+)"'), ("CMakeLists.txt", r"VERSION ([\d.]+) LANGUAGES")):
            text = (SOURCE / path).read_text(encoding="utf-8")
            self.assertEqual(re.search(pattern, text, re.MULTILINE).group(1), qvl.__version__)

    def test_examples_of_the_documentation_run(self):
        text = (SOURCE / "docs" / "python.md").read_text(encoding="utf-8")
        examples = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
        test = doctest.DocTestParser().get_doctest(examples, {}, "docs/python.md", "docs/python.md", 0)
        self.assertGreater(len(test.examples), 40)
        report = []
        before = os.getcwd()
        os.chdir(SOURCE)
        try:
            result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
        finally:
            os.chdir(before)
        self.assertEqual(result.failed, 0, "".join(report))


if __name__ == "__main__":
    unittest.main()
