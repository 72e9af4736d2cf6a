"""Which edits of a project change the code of an experiment: a table of single edits, each judged.

``CHANGES`` must run the experiment again and name what changed; ``KEEPS`` must not.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_memento.fingerprint import Codebase, digest_value

PROJECT = {
    "exp_train.py": '''
"""Train things."""
import functools
import os, json
import numpy as np
import pytest
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lib.metrics as lm
import lib.deep.inner
import helpers
from helpers import scale, unused_helper, Scaler as S
from lib import exported
from lib.stars import *
from registry import REGISTRY
import plugins  # for what it registers

if TYPE_CHECKING:
    from helpers import OnlyAType

LR = 0.1
TABLE = {"a": 1, "b": 2}
TABLE["c"] = 3
UNUSED = 7
ANNOTATED: int = 4
EARLY, LATE = 1, 2

def decorate(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) * FACTOR
    return wrapper

FACTOR = 1

def normalize(x: float, mean=0.5) -> float:
    """Normalize."""
    shifted = x - mean
    unused = 3
    return shifted  # done

def unrelated(x):
    return normalize(x) + 1

def recursive(n):
    return n and recursive(n - 1) + other_half(n)

def other_half(n):
    return recursive(n // 2)

@dataclass
class Point:
    x: int
    y: int = 0

class Base:
    rate = 1
    def step(self):
        return self.rate

class Net(Base):
    """A net."""
    depth: int = LR
    def fit(self):
        return self._hidden()
    def _hidden(self):
        return self.step()

class Unrelated:
    rate = 9

async def fetch():
    return 5

def make(bound):
    def inner(x):
        return x + bound + ANNOTATED
    return inner

add = make(3)

@functools.lru_cache(maxsize=None)
def cached(x):
    return x

@functools.singledispatch
def describe(value):
    return 0

@describe.register
def _(value: int):
    return 1

def conditional():
    if os.environ.get("NEVER"):
        return helpers.rarely()
    return [helpers.in_comprehension(i) for i in range(3)]

def late():
    from lib import lazy
    import lib.lazier as lz
    return lazy.value() + lz.value()

@decorate
def experiment(context, config):
    net = Net()
    point = Point(1)
    scaler = S()
    total = net.fit() + normalize(3) + scale(2) + TABLE["a"] + point.x + scaler.apply(1)
    total += lm.score(1) + lib.deep.inner.value + exported() + starred() + recursive(2)
    total += add(1) + cached(2) + describe(1) + conditional()[0] + late() + LATE
    return total + REGISTRY["svc"]() + np.mean([1]) + len(repr(fetch))

if __name__ == "__main__":
    print(experiment(None, None))
''',
    "helpers.py": """
import math
import random

CONSTANT = 2
random.seed(1)

class OnlyAType: pass

def scale(x):
    return x * CONSTANT * deeper(x)

def deeper(x):
    return math.sqrt(x)

def unused_helper(x):
    return x

def rarely():
    return 1

def in_comprehension(i):
    return i

class Scaler:
    by = 1
    @property
    def factor(self):
        return self.by
    @classmethod
    def make(cls):
        return cls()
    def apply(self, x):
        return x * self.factor
    def __call__(self, x):
        return self.apply(x)
""",
    "registry.py": """
REGISTRY = {}
OTHERS = {}

def register(name):
    def wrap(function):
        REGISTRY[name] = function
        return function
    return wrap

def lookup(name):
    return REGISTRY[name]
""",
    "plugins.py": """
from registry import register, OTHERS

@register("svc")
def make_svc():
    return tuned()

def tuned():
    return 1

def not_registered():
    return 2

OTHERS["x"] = 1
""",
    "lib/__init__.py": """
from .impl import exported
from .impl import other as not_used
""",
    "lib/impl.py": """
from . import circular

def exported():
    return circular.turn()

def other():
    return 0
""",
    "lib/circular.py": """
from lib import impl

def turn():
    return 1

def back():
    return impl.exported()
""",
    "lib/metrics.py": """
def score(x):
    return x

def loss(x):
    return x
""",
    "lib/deep/__init__.py": "",
    "lib/deep/inner.py": "value = 1\nother = 2\n",
    "lib/stars.py": """
from .metrics import loss

def starred():
    return loss(1)

def not_starred():
    return 2
""",
    "lib/lazy.py": "def value():\n    return 1\n\ndef other():\n    return 2\n",
    "lib/lazier.py": "def value():\n    return 1\n",
}

Edit = tuple[str, str, str]
E = "exp_train.py"
H = "helpers.py"

# name -> (file, before, after), and what the manifest must name
CHANGES: dict[str, tuple[Edit, str]] = {
    "body": ((E, "total += lm.score(1)", "total -= lm.score(1)"), "exp_train.experiment"),
    "helper of the same module": ((E, "x - mean", "x + mean"), "exp_train.normalize"),
    "default of a helper": ((E, "mean=0.5", "mean=0.6"), "exp_train.normalize"),
    "helper of another module": ((H, "x * CONSTANT *", "x + CONSTANT *"), "helpers.scale"),
    "helper of a helper": ((H, "math.sqrt(x)", "math.exp(x)"), "helpers.deeper"),
    "library function behind the same call": ((H, "import math", "import cmath as math"),
                                              "helpers.deeper"),
    "constant": ((E, "LR = 0.1", "LR = 0.2"), "exp_train.LR"),
    "constant of another module": ((H, "CONSTANT = 2", "CONSTANT = 3"), "helpers.CONSTANT"),
    "constant bound with others": ((E, "EARLY, LATE = 1, 2", "EARLY, LATE = 1, 3"),
                                   "exp_train.LATE"),
    "type of a constant": ((H, "CONSTANT = 2", "CONSTANT = 2.0"), "helpers.CONSTANT"),
    "table": ((E, '"a": 1', '"a": 2'), "exp_train.TABLE"),
    "table changed later": ((E, 'TABLE["c"] = 3', 'TABLE["c"] = 4'), "exp_train.TABLE"),
    "table changed once more": ((E, "UNUSED = 7", 'TABLE.update(d=1)'), "exp_train.TABLE"),
    "method": ((E, "return self._hidden()", "return -self._hidden()"), "exp_train.Net.fit"),
    "private method": ((E, "return self.step()", "return -self.step()"), "exp_train.Net._hidden"),
    "method of a base": ((E, "return self.rate", "return -self.rate"), "exp_train.Base.step"),
    "attribute of a base": ((E, "rate = 1\n    def", "rate = 2\n    def"), "exp_train.Base"),
    "base": ((E, "class Net(Base)", "class Net(Base, Point)"), "exp_train.Net"),
    "class attribute": ((E, "depth: int = LR", "depth: int = 2"), "exp_train.Net"),
    "method of a class of another module": ((H, "x * self.factor", "x + self.factor"),
                                            "helpers.Scaler.apply"),
    "property": ((H, "return self.by", "return -self.by"), "helpers.Scaler.factor"),
    "special method": ((H, "return self.apply(x)", "return -self.apply(x)"),
                       "helpers.Scaler.__call__"),
    "field of a dataclass": ((E, "y: int = 0", "y: int = 1"), "exp_train.Point"),
    "new field of a dataclass": ((E, "y: int = 0", "y: int = 0\n    z: int = 0"),
                                 "exp_train.Point"),
    "decorator's body": ((E, "* FACTOR", "+ FACTOR"), "exp_train.decorate"),
    "what a decorator uses": ((E, "FACTOR = 1", "FACTOR = 2"), "exp_train.FACTOR"),
    "no decorator": ((E, "@decorate\n", ""), "exp_train.experiment"),
    "argument of a decorator": ((E, "maxsize=None", "maxsize=1"), "exp_train.cached"),
    "closure's variable": ((E, "add = make(3)", "add = make(4)"), "exp_train.add"),
    "closure's body": ((E, "x + bound", "x * bound"), "exp_train.make"),
    "what a closure uses": ((E, "ANNOTATED: int = 4", "ANNOTATED: int = 5"),
                            "exp_train.ANNOTATED"),
    "recursion": ((E, "n // 2", "n // 3"), "exp_train.other_half"),
    "coroutine": ((E, "return 5", "return 6"), "exp_train.fetch"),
    "not a coroutine any more": ((E, "async def fetch", "def fetch"), "exp_train.fetch"),
    "use under a condition": ((H, "def rarely():\n    return 1", "def rarely():\n    return 2"),
                              "helpers.rarely"),
    "use in a comprehension": ((H, "    return i\n", "    return -i\n"),
                               "helpers.in_comprehension"),
    "import as": (("lib/metrics.py", "def score(x):\n    return x",
                   "def score(x):\n    return -x"), "metrics.score"),
    "dotted import": (("lib/deep/inner.py", "value = 1", "value = 2"), "inner.value"),
    "re-export": (("lib/impl.py", "return circular.turn()", "return -circular.turn()"),
                  "impl.exported"),
    "re-export of something else": (("lib/__init__.py", "import exported",
                                     "import other as exported"), "impl.other"),
    "circular import": (("lib/circular.py", "def turn():\n    return 1",
                         "def turn():\n    return 2"), "circular.turn"),
    "star import": (("lib/stars.py", "return loss(1)", "return loss(2)"), "stars.starred"),
    "behind a star import": (("lib/metrics.py", "def loss(x):\n    return x",
                              "def loss(x):\n    return -x"), "metrics.loss"),
    "import inside a function": (("lib/lazy.py", "return 1", "return 3"), "lazy.value"),
    "import as inside a function": (("lib/lazier.py", "return 1", "return 3"), "lazier.value"),
    "what is imported": ((E, "import scale, unused_helper", "import deeper as scale, scale as _"),
                         "exp_train.experiment"),
    "registered function": (("plugins.py", "return tuned()", "return -tuned()"),
                            "plugins.make_svc"),
    "what a registered function uses": (("plugins.py", "def tuned():\n    return 1",
                                         "def tuned():\n    return 2"), "plugins.tuned"),
    "registered under another name": (("plugins.py", '"svc"', '"svm"'), "plugins.make_svc"),
    "how it is registered": (("registry.py", "REGISTRY[name] = function",
                              "REGISTRY[name] = REGISTRY[''] = function"), "registry.register"),
    "implementation for a type": ((E, "def _(value: int):\n    return 1",
                                   "def _(value: int):\n    return 2"), "exp_train._"),
    "type of an implementation": ((E, "def _(value: int)", "def _(value: str)"), "exp_train._"),
    "what a module does when it is imported": ((H, "random.seed(1)", "random.seed(2)"),
                                               "helpers.<module>"),
    "shadowed later": ((E, "UNUSED = 7", "def scale(x): return x"), "exp_train.scale"),
    "redefined later": ((E, "class Unrelated:", "def normalize(x): return x\nclass Unrelated:"),
                        "exp_train.normalize"),
    "string": ((E, 'REGISTRY["svc"]()', 'REGISTRY["svm"]()'), "exp_train.experiment"),
    "keyword": ((E, "describe(1)", "describe(value=1)"), "exp_train.experiment"),
}  # fmt: skip

KEEPS: dict[str, Edit] = {
    "comment": (E, "# done", "# all done"),
    "comment of a helper": (H, "CONSTANT = 2", "# two\nCONSTANT = 2"),
    "docstring": (E, '"""Normalize."""', '"""Make normal."""'),
    "docstring of a class": (E, '"""A net."""', '"""A neural net."""'),
    "docstring of the module": (E, '"""Train things."""', '"""Train all the things."""'),
    "new docstring": (H, "def deeper(x):\n", 'def deeper(x):\n    """Go deeper."""\n'),
    "blank lines": (E, "def unrelated", "\n\n\ndef unrelated"),
    "line breaks": (E, "normalize(3)", "normalize(\n        3,\n    )"),
    "parentheses": (E, "return shifted", "return (shifted)"),
    "quotes": (E, 'TABLE["a"]', "TABLE['a']"),
    "number in another form": (H, "CONSTANT = 2", "CONSTANT = 0x2"),
    "pass": (E, "shifted = x - mean", "pass\n    shifted = x - mean"),
    "text that is not used": (E, "shifted = x - mean", '"note"\n    shifted = x - mean'),
    "annotation of an argument": (E, "x: float, mean", "x: int, mean"),
    "annotation of the return": (E, "-> float", "-> int"),
    "annotation of a variable": (E, "shifted = x", "shifted: float = x"),
    "annotation of a constant": (E, "LR = 0.1", "LR: float = 0.1"),
    "no annotation of a constant": (E, "ANNOTATED: int", "ANNOTATED"),
    "annotation in a plain class": (H, "by = 1", "by: int = 1"),
    "renamed variable": (E, "unused = 3", "also_unused = 3"),
    "renamed variable that is used": (
        E,
        "    shifted = x - mean\n    unused = 3\n    return shifted",
        "    moved = x - mean\n    unused = 3\n    return moved",
    ),
    "unrelated function": (E, "return normalize(x) + 1", "return normalize(x) + 2"),
    "unrelated function gone": (E, "def unrelated(x):\n    return normalize(x) + 1\n", ""),
    "unrelated class": (E, "rate = 9", "rate = 8"),
    "unrelated constant": (E, "UNUSED = 7", "UNUSED = 8"),
    "renamed constant that is not used": (E, "UNUSED = 7", "NOT_USED = 7"),
    "unrelated function of a helper module": (H, "def unused_helper(x):\n    return x",
                                              "def unused_helper(x):\n    return -x"),
    "unused import": (E, "import os, json", "import os, json, glob"),
    "unused import gone": (E, "import os, json", "import os"),
    "unused import of a helper": (E, "scale, unused_helper, ", "scale, "),
    "unused import in a helper": (H, "import math\n", "import math\nimport glob\n"),
    "unused import inside a function": (E, "    from lib import lazy\n",
                                        "    from lib import lazy\n    import json\n"),
    "order of imports": (H, "import math\nimport random", "import random\nimport math"),
    "alias of an import": (E, "import numpy as np", "import numpy as xp", ),
    "import for types only": (E, "import OnlyAType", "import OnlyAType, Scaler"),
    "what runs as a script": (E, "print(experiment(None, None))", "print('hello')"),
    "order of definitions": (
        H,
        "def rarely():\n    return 1\n\ndef in_comprehension(i):\n    return i\n",
        "def in_comprehension(i):\n    return i\n\ndef rarely():\n    return 1\n",
    ),
    "unused re-export": ("lib/__init__.py", "from .impl import other as not_used\n", ""),
    "unrelated function of a star import": ("lib/stars.py", "return 2", "return 3"),
    "unrelated function of a circular import": ("lib/circular.py", "return impl.exported()",
                                                "return -impl.exported()"),
    "unrelated constant of a submodule": ("lib/deep/inner.py", "other = 2", "other = 3"),
    "unrelated function of a lazy import": ("lib/lazy.py", "return 2", "return 4"),
    "not registered": ("plugins.py", "return 2", "return 3"),
    "another registry": ("plugins.py", 'OTHERS["x"] = 1', 'OTHERS["x"] = 2'),
    "unrelated function of the registry": ("registry.py", "return REGISTRY[name]",
                                           "return REGISTRY.get(name)"),
    "mark": (E, "@decorate\n", "@pytest.mark.skipif(False, reason='')\n@decorate\n"),
    "file that nothing imports": ("alone.py", "", "x = 1"),
}  # fmt: skip

Manifest = dict[str, str]
Describe = Callable[..., Manifest]


@pytest.fixture
def describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Describe]:
    """Return a function that writes a project, imports it and describes ``experiment``."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)

    def describe_project(files: dict[str, str], **more: Any) -> Manifest:
        for name, source in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        for name in set(sys.modules) - before:
            if _is_below(sys.modules[name], tmp_path):
                del sys.modules[name]
        importlib.invalidate_caches()
        module = importlib.import_module(next(iter(files)).removesuffix(".py"))
        path = more.pop("path", ("experiment",))
        function = getattr(module, path[0])
        return {**Codebase(tmp_path).describe(function, path=path, module=module, **more).manifest}

    yield describe_project
    for name in set(sys.modules) - before:
        if _is_below(sys.modules[name], tmp_path):
            del sys.modules[name]


def _is_below(module: Any, directory: Path) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(str(directory))


def edited(edit: Edit) -> dict[str, str]:
    file, before, after = edit
    if not before:
        return {**PROJECT, file: after}
    assert PROJECT[file].count(before) == 1, f"{before!r} occurs {PROJECT[file].count(before)} x"
    source = PROJECT[file].replace(before, after)
    if after == "import numpy as xp":
        source = source.replace("np.mean", "xp.mean")
    return {**PROJECT, file: source}


def changed(before: Manifest, after: Manifest) -> set[str]:
    return {n for n in {**before, **after} if before.get(n) != after.get(n)}


@pytest.mark.parametrize("name", CHANGES)
def test_runs_again_and_names_what_changed(name: str, describe: Describe) -> None:
    edit, entry = CHANGES[name]
    before = describe(PROJECT)
    found = changed(before, describe(edited(edit)))
    assert entry in found


@pytest.mark.parametrize("name", KEEPS)
def test_stays_cached(name: str, describe: Describe) -> None:
    before = describe(PROJECT)
    assert changed(before, describe(edited(KEEPS[name]))) == set()


def test_every_edit_of_the_table_is_one_of_its_own(describe: Describe) -> None:
    before = describe(PROJECT)
    manifests = [describe(edited(edit)) for edit, _ in CHANGES.values()]
    assert len({tuple(sorted(each.items())) for each in [before, *manifests]}) == len(CHANGES) + 1


CLASS = {
    "exp_class.py": """
import pytest

class ExperimentNet:
    rate = 1

    @pytest.fixture
    def data(self):
        return [self.rate]

    def experiment_a(self, data):
        return self.shared(data)

    def experiment_b(self, data):
        return self.experiment_c(data)

    def experiment_c(self, data):
        return 3

    def shared(self, data):
        return data
"""
}


def of_class(describe: Describe, source: str, name: str) -> Manifest:
    path = ("ExperimentNet", name)
    return describe(
        {"exp_class.py": source}, path=path, is_apart=lambda each: each.startswith("experiment")
    )


def test_an_experiment_that_is_a_method_depends_on_others_only_by_name(
    describe: Describe,
) -> None:
    source = CLASS["exp_class.py"]
    for name, wanted in {
        "experiment_a": {"experiment_a", "shared", "data"},
        "experiment_b": {"experiment_b", "experiment_c", "shared", "data"},
    }.items():
        manifest = of_class(describe, source, name)
        prefix = "exp_class.ExperimentNet"
        assert set(manifest) == {prefix, *(f"{prefix}.{each}" for each in wanted)}


VALUES = {
    "exp_values.py": """
from functools import partial
import helpers
from helpers import Scaler, scale

def own(x): return near(x)
def near(x): return x
lambdas = [lambda x: near(x), lambda x: scale(x)]
def local(n):
    def inner(x): return near(x) + n
    return inner
def experiment(config): return 1
""",
    "helpers.py": PROJECT["helpers.py"],
}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("own", {"exp_values.own", "exp_values.near"}),
        ("scale", {"helpers.scale", "helpers.CONSTANT", "helpers.deeper", "helpers.<module>"}),
        ("Scaler().apply", {"helpers.Scaler", "helpers.Scaler.apply", "helpers.<module>"}),
        ("partial(own, 1)", {"exp_values.own", "exp_values.near"}),
        ("{'f': [own]}", {"exp_values.own", "exp_values.near"}),
        ("lambdas[0]", {"exp_values.<lambda>", "exp_values.near"}),
        ("lambdas[1]", {"exp_values.<lambda>", "helpers.scale"}),
        ("local(1)", {"exp_values.local", "exp_values.near"}),
        ("local(own)", {"exp_values.local", "exp_values.own"}),
        ("Scaler", {"helpers.Scaler", "helpers.Scaler.apply"}),
        ("Scaler()", {"helpers.Scaler", "helpers.Scaler.__call__"}),
        ("1", set()),
        ("helpers.math.sqrt", set()),
    ],
)
def test_functions_and_classes_in_values_count(
    value: str, wanted: set[str], describe: Describe
) -> None:
    alone = describe(VALUES)
    module = sys.modules["exp_values"]
    met: list[object] = []
    digest_value(eval(value, dict(vars(module))), met=met)
    manifest = dict(Codebase(Path(str(module.__file__)).parent).describe(
        module.experiment, path=("experiment",), module=module, also=met
    ).manifest)  # fmt: skip
    assert set(manifest) >= wanted | {"exp_values.experiment"}
    if not wanted:
        assert set(manifest) == set(alone)


def test_is_the_same_on_every_version_of_python(describe: Describe) -> None:
    # Computed once, on Python 3.11: whatever changes this makes all stored results stale.
    found = digest_value(describe(PROJECT))
    assert found == "5e7b656a18cbd62d1243df9780673e8a"
