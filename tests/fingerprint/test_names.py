"""What names lead to: small projects, each with edits that must count and others that must not.

A project is the text of its files, each after a line ``--- name``; its experiment is that of
``exp.py``. An edit is a file, what is replaced in it, and by what.
"""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Sequence
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeAlias

import pytest

from pytest_memento.fingerprint import Codebase, digest_value

Edit: TypeAlias = tuple[str, str, str]
Files: TypeAlias = dict[str, str]
Manifest: TypeAlias = dict[str, str]
Describe: TypeAlias = Callable[[Files], Manifest]


class Case(NamedTuple):
    """A project with edits of it."""

    project: str
    changes: Sequence[Edit]
    keeps: Sequence[Edit] = ()


MODELS = """
--- models/__init__.py
from .res import *
from .vgg import Vgg
from . import late
import other
--- models/res.py
from .deep import *
class Res:
    def run(self): return 1
def _private(): return 2
--- models/deep.py
class Deep:
    def run(self): return 3
--- models/vgg.py
class Vgg: pass
def unused(): return 4
--- models/late.py
def late(): return 5
--- other.py
def other(): return 6
"""
OF_MODELS: list[Edit] = [
    ("models/res.py", "return 1", "return 11"),
    ("models/deep.py", "return 3", "return 33"),
    ("models/vgg.py", "class Vgg: pass", "class Vgg: x = 1"),
    ("models/late.py", "return 5", "return 55"),
    ("models/res.py", "class Res:", "class Added: pass\nclass Res:"),
]
NOT_OF_MODELS: list[Edit] = [
    ("models/res.py", "return 2", "return 22"),
    ("models/vgg.py", "return 4", "return 44"),
    ("other.py", "return 6", "return 66"),
]

CASES = {
    "a module as a whole, with what stars bring into it": Case(
        "--- exp.py\nimport models\ndef experiment(): return getattr(models, name)()" + MODELS,
        OF_MODELS,
        NOT_OF_MODELS,
    ),
    "__dict__ of a module": Case(
        "--- exp.py\nimport models\ndef experiment(): return models.__dict__[name]()" + MODELS,
        OF_MODELS,
        NOT_OF_MODELS,
    ),
    "vars() of a module": Case(
        "--- exp.py\nimport models\ndef experiment(): return vars(models)[name]()" + MODELS,
        OF_MODELS,
        NOT_OF_MODELS,
    ),
    "stars after other bindings, and __all__": Case(
        """
--- exp.py
from one import scale
def local(x): return x
from two import *
from three import *
from four import *
from five import *
def own(x): return x
if FLAG:
    def maybe(x): return x
def experiment(): return scale(1), local(2), pick(3), own(4), maybe(5), _hidden(6), more(7)
--- one.py
def scale(x): return x
--- two.py
FLAG = False
def scale(x): return x * 2
def local(x): return x * 3
def own(x): return x * 4
def maybe(x): return x * 5
def _hidden(x): return x * 6
--- three.py
def pick(x): return x * 7
--- four.py
__all__ = ["pick"]
__all__ += ["_hidden"]
def pick(x): return x * 8
def local(x): return x * 9
def _hidden(x): return x * 10
--- five.py
import one
__all__ = ["nothing"]
__all__.extend(one.__dir__())
def more(x): return x * 11
""",
        [
            ("two.py", "x * 2", "x * 20"),
            ("two.py", "x * 3", "x * 30"),
            ("two.py", "x * 5", "x * 50"),
            ("four.py", "x * 8", "x * 80"),
            ("four.py", "x * 10", "x * 100"),
            ("four.py", '= ["pick"]', "= []"),
            ("five.py", "x * 11", "x * 110"),
        ],
        [
            ("two.py", "x * 4", "x * 40"),
            ("two.py", "x * 6", "x * 60"),
            ("four.py", "x * 9", "x * 90"),
            ("four.py", '["pick"]', '["pick", "other"]'),
        ],
    ),
    "conditions of imports": Case(
        """
--- exp.py
import flags
USE_FAST = True
UNUSED = True
if USE_FAST:
    from fast import score
else:
    from slow import score
if flags.DEEP:
    import deep as net
from slow import other
if UNUSED:
    from fast import unused
if flags.WIDE:
    from fast import other
def experiment(): return score(1), net.run(2), other(3)
--- flags.py
DEEP = WIDE = True
--- fast.py
def score(x): return x
def other(x): return x
def unused(x): return x
--- slow.py
def score(x): return -x
def other(x): return -x
--- deep.py
def run(x): return x
""",
        [
            ("exp.py", "USE_FAST = True", "USE_FAST = False"),
            ("flags.py", "DEEP = WIDE = True", "DEEP = True; WIDE = False"),
            ("exp.py", "if USE_FAST", "if not USE_FAST"),
            ("exp.py", "if flags.WIDE:\n", "if flags.WIDE:\n    pass\nelse:\n"),
        ],
        [("exp.py", "UNUSED = True", "UNUSED = False")],
    ),
    "modules with the same last name": Case(
        """
--- exp.py
from a.config import DEPTH as A
from b.config import DEPTH as B
import a.config
from c.config import DEPTH, f
import b.config
def experiment(): return A * 100 + B * 10 + DEPTH, a.config.f(b.config.f(f(1)))
--- a/config.py
DEPTH = 1
def f(x): return x + 5
--- b/config.py
DEPTH = 1
def f(x): return x - 5
--- c/config/__init__.py
DEPTH = 2
def f(x): return x + 5
--- d/config.py
DEPTH = 2
""",
        [
            ("b/config.py", "DEPTH = 1", "DEPTH = 2"),
            ("a/config.py", "DEPTH = 1", "DEPTH = 2"),
            ("b/config.py", "x - 5", "x + 5"),
        ],
        [("d/config.py", "DEPTH = 2", "DEPTH = 1")],
    ),
    "imports by constants": Case(
        """
--- lib/__init__.py
--- lib/exp.py
--- exp.py
import importlib, runpy
import lib.near
from importlib import import_module as im
def experiment():
    from importlib import import_module as local
    importlib.import_module(name="lib.one").f()
    im("lib.two").f()
    local("lib.three").f()
    __import__("lib", fromlist=["four"]).four.f()
    runpy.run_module("lib.five")
    runpy.run_module(mod_name="lib.six")
    lib.near.f()
    importlib.import_module("..nowhere", "lib")
    return importlib.import_module(".seven", package="lib").f()
--- lib/near.py
from importlib import import_module
def f(): return import_module(".eight", __package__), import_module(".nine", package=__name__)
--- lib/one.py
def f(): return 1
--- lib/two.py
def f(): return 2
--- lib/three.py
def f(): return 3
--- lib/four.py
def f(): return 4
--- lib/five.py
def f(): return 5
--- lib/six.py
def f(): return 6
--- lib/seven.py
def f(): return 7
--- lib/eight.py
def f(): return 8
--- lib/nine.py
def f(): return 9
--- lib/ten.py
def f(): return 10
""",
        [
            (f"lib/{name}.py", f"return {number}", f"return {number + 1}0")
            for number, name in enumerate(
                ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"), 1
            )
        ],
        [("lib/ten.py", "return 10", "return 100")],
    ),
    "annotations that are read": Case(
        """
--- exp.py
from typing import get_type_hints as hints
from other import Sub, train, unused
class Dep: v = 1
class Dep2: v = 2
class Cfg:
    lr: float = "3"
    class Inner:
        deep: int
    def __init__(self, dep: "list[Dep]", text: "no code"): self.dep = dep
    def method(self) -> int:
        local: int = 3
        return local
def experiment(): return hints(Cfg), Sub, train
--- other.py
class Mixin:
    scale: float
class Sub(Mixin): pass
def train(lr: float = "3"): return lr
def unused(lr: int): return lr
""",
        [
            ("exp.py", "lr: float", "lr: int"),
            ("exp.py", "deep: int", "deep: float"),
            ("exp.py", "list[Dep]", "list[Dep2]"),
            ("exp.py", "v = 1", "v = 3"),
            ("exp.py", "-> int", "-> float"),
            ("other.py", "scale: float", "scale: int"),
            ("other.py", "lr: float", "lr: int"),
        ],
        [
            ("other.py", "lr: int", "lr: float"),
            ("exp.py", "local: int", "local: float"),
            ("exp.py", "v = 2", "v = 3"),
        ],
    ),
    "annotations that nothing reads": Case(
        """
--- exp.py
from pydantic import BaseModel, validate_call
import numpy as np
from other import Sub, train, typed
class Cfg:
    lr: "Dep" = "3"
class Dep: v = 1
@np.vectorize
def twice(x: int) -> int: return x
signature = Cfg().lr
def experiment(): return Cfg, Sub, train, twice
--- other.py
class Mixin:
    scale: float
class Sub(Mixin): pass
def train(lr: float = "3"): return lr
def typed(f): return f.__annotations__
""",
        (),
        [
            ("exp.py", 'lr: "Dep"', "lr: int"),
            ("exp.py", "v = 1", "v = 3"),
            ("exp.py", "x: int", "x: float"),
            ("other.py", "scale: float", "scale: int"),
            ("other.py", "lr: float", "lr: int"),
        ],
    ),
    "texts in annotations that count": Case(
        """
--- exp.py
from typing import List
from pydantic import BaseModel, validate_call
class Outer(BaseModel):
    opt: List["Opt"]
class Opt(BaseModel):
    lr: float = 0.1
class Late(BaseModel): number: int = 3
@validate_call
def train(late: "Late" = None): return late
def experiment(): return Outer, train
""",
        [("exp.py", "= 0.1", "= 0.2"), ("exp.py", "int = 3", "int = 4")],
    ),
}

READERS = {
    "validate_call(raw)": "from pydantic import validate_call\ntrain = validate_call(raw), Point",
    "validate_call()(raw)": "import pydantic as p\ntrain = Point, p.validate_call(a=1)(raw)",
    "dataclass(Point)": "from dataclasses import dataclass as data\ntrain = raw, data(Point)",
    "mixin": "import pydantic\nclass M(Point): pass\nclass train(M, pydantic.BaseModel): x = raw",
    "word of an object": "train = raw, Point().made.__annotations__",
    "word of a call": "train = raw, type(Point()).__annotations__",
    "by getattr": 'train = getattr(raw, "__annotations__"), Point',
    "class as decorator": "from other import typed\ntrain = typed(raw), Point",
}
for reader, source in READERS.items():
    CASES[f"annotations that are read: {reader}"] = Case(
        f"""
--- exp.py
class Point:
    x: int = 0
def raw(lr: float): return lr
{source}
def experiment(): return train
--- other.py
import typing
class Caster:
    def __init__(self, f): self.hints = typing.get_type_hints(f)
def typed(f): return Caster(f)
""",
        [("exp.py", "x: int", "x: float"), ("exp.py", "lr: float", "lr: int")],
    )
CASES["request.module"] = Case(
    """
--- exp.py
RATE = 5
DEPTH = 6
OTHER = 7
def helper(request): return request.module.RATE, getattr(request.module, "DEPTH", 0)
def experiment(request): return helper(request)
""",
    [("exp.py", "RATE = 5", "RATE = 6"), ("exp.py", "DEPTH = 6", "DEPTH = 7")],
    [("exp.py", "OTHER = 7", "OTHER = 8")],
)
CASES["request.module as a whole"] = Case(
    """
--- exp.py
from other import helper
RATE = 5
def experiment(request): return helper(request)
--- other.py
RATE = 6
def helper(request): return vars(request.module)
""",
    [("exp.py", "RATE = 5", "RATE = 6")],
    [("other.py", "RATE = 6", "RATE = 7")],
)


def parsed(project: str) -> Files:
    files: dict[str, list[str]] = {}
    for line in textwrap.dedent(project).strip().splitlines():
        if line.startswith("--- "):
            files[line[4:]] = lines = []
        else:
            lines.append(line)
    return {name: "\n".join(lines) + "\n" for name, lines in files.items()}


def edited(files: Files, edit: Edit) -> Files:
    name, before, after = edit
    assert files[name].count(before) == 1, f"{before!r} occurs {files[name].count(before)} x"
    return {**files, name: files[name].replace(before, after)}


@pytest.fixture
def describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Describe:
    """Return what describes a project; nothing of it but names is run."""
    monkeypatch.syspath_prepend(tmp_path)

    def describe_project(files: Files) -> Manifest:
        for name, source in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        importlib.invalidate_caches()
        module = ModuleType("exp")
        module.__file__ = str(tmp_path / "exp.py")
        code = Codebase(tmp_path).describe(print, path=("experiment",), module=module)
        return {**code.manifest}

    return describe_project


CHANGES = [(name, edit) for name, case in CASES.items() for edit in case.changes]
KEEPS = [(name, edit) for name, case in CASES.items() for edit in case.keeps]


@pytest.mark.parametrize(("name", "edit"), CHANGES)
def test_counts(name: str, edit: Edit, describe: Describe) -> None:
    files = parsed(CASES[name].project)
    before = describe(files)
    assert describe(edited(files, edit)) != before


@pytest.mark.parametrize(("name", "edit"), KEEPS)
def test_does_not_count(name: str, edit: Edit, describe: Describe) -> None:
    files = parsed(CASES[name].project)
    before = describe(files)
    assert describe(edited(files, edit)) == before


def exchanged(files: Files, one: str, other: str) -> Files:
    return {**files, one: files[other], other: files[one]}


def test_modules_with_the_same_last_name_are_told_apart(describe: Describe) -> None:
    files = parsed(CASES["modules with the same last name"].project)
    before = describe(files)
    assert {"a.config.f", "b.config.f", "c.config.f", "c.config.DEPTH"} < set(before)
    assert describe(exchanged(files, "a/config.py", "b/config.py")) != before


def test_a_module_is_named_in_short_where_no_other_of_that_name_is_used(
    describe: Describe,
) -> None:
    files = parsed(CASES["modules with the same last name"].project)
    files["exp.py"] = "import a.config\ndef experiment(): return a.config.f(1)"
    assert set(describe(files)) == {"exp.experiment", "config.f"}


def test_modules_that_only_an_import_hook_finds_are_followed(
    describe: Describe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after ``pip install --editable``, for packages that are not at the top of a project."""
    files = parsed("""
        --- exp.py
        import remote.inner
        def experiment(): return remote.inner.f(1)
        --- elsewhere/lib/__init__.py
        --- elsewhere/lib/inner.py
        def f(x): return x
    """)
    place = tmp_path / "elsewhere/lib/__init__.py"

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> object:
            if name != "remote":
                return None
            found = [str(place.parent)]
            return spec_from_file_location(name, place, submodule_search_locations=found)

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    before = describe(files)
    assert set(before) == {"exp.experiment", "inner.f"}
    assert describe(edited(files, ("elsewhere/lib/inner.py", "return x", "return -x"))) != before
    assert "remote" not in sys.modules


def test_a_loaded_package_says_itself_where_its_modules_are(
    describe: Describe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ModuleType("moved")
    package.__path__ = [str(tmp_path / "elsewhere")]
    monkeypatch.setitem(sys.modules, "moved", package)
    files = parsed("""
        --- exp.py
        from moved.inner import f
        def experiment(): return f(1)
        --- elsewhere/inner.py
        def f(x): return x
    """)
    assert set(describe(files)) == {"exp.experiment", "inner.f"}


MADE = """
--- values.py
import collections, enum, functools
def near(x): return x
def start(): pass
@functools.cache
def memo(x): return near(x)
cached = [functools.lru_cache(lambda x: near(x) + 1), functools.lru_cache(lambda x: x + 2)]
class Around:
    def __init__(self, f): functools.update_wrapper(self, f)
    def __call__(self, x): return self.__wrapped__(x) + 3
@Around
def around(x): return x + 4
class Base:
    def go(self): return 5
def go(self): return 6
Made = [type("A", (Base,), {"k": 7, "go": go, "late": lambda self: 8})]
Named = collections.namedtuple("Other", "a b")
Listed = enum.Enum("Another", "a b")
"""


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("memo", "def memo(x): return near(x)", "def memo(x): return -near(x)"),
        ("memo", "return x\n", "return -x\n"),
        ("cached[0]", "near(x) + 1", "near(x) + 10"),
        ("cached[0]", "return x\n", "return -x\n"),
        ("cached[1]", "x + 2", "x + 20"),
        ("around", "(x) + 3", "(x) + 30"),
        ("around", "x + 4", "x + 40"),
        ("Made[0]", "return 5", "return 55"),
        ("Made[0]", "return 6", "return 66"),
        ("Made[0]", '"k": 7', '"k": 77'),
        ("Made[0]", "self: 8", "self: 88"),
        ("Made[0]()", "return 5", "return 55"),
        ("Made[0]()", '"k": 7', '"k": 77'),
    ],
)
def test_code_inside_of_values_counts(
    value: str, before: str, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    files = parsed(MADE)
    found = []
    for each in (files, edited(files, ("values.py", before, after))):
        (tmp_path / "values.py").write_text(each["values.py"])
        monkeypatch.delitem(sys.modules, "values", raising=False)
        importlib.invalidate_caches()
        module = importlib.import_module("values")
        met: list[object] = []
        digest = digest_value(eval(value, vars(module)), met=met)
        code = Codebase(tmp_path).describe(module.start, module=module, path=("start",), also=met)
        found.append((digest, code.manifest))
    monkeypatch.delitem(sys.modules, "values")
    assert found[0] != found[1]


def test_classes_that_others_make_are_described_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "values.py").write_text(parsed(MADE)["values.py"])
    monkeypatch.delitem(sys.modules, "values", raising=False)
    module = importlib.import_module("values")
    monkeypatch.delitem(sys.modules, "values")
    assert digest_value([module.Named, module.Listed])
    assert digest_value(module.cached[0]) != digest_value(module.cached[1])
