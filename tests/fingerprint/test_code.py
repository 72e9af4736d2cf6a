"""Digests of code: what a function says counts, how it is written does not."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pytest_memento.fingerprint import Codebase, Digest

ROOT = pathlib.Path(__file__).parents[2]

Load = Callable[[str], Any]


ORIGINAL = '''
import functools, pytest
from pytest import mark

def keep(function): return function
def other(function): return function

@keep
@pytest.mark.parametrize("x", [1])
def experiment(model, *, folds: int = 5) -> float:
    """Train."""
    scores: list = [model * fold for fold in range(folds)]
    if folds > 2:
        pass
    def mean(values): return sum(values) / len(values)
    @functools.total_ordering
    class Holder:
        """Keep."""
        kept: int = 1
    return f"{mean(scores):.2f}" + 'a' "b"
'''

UNCHANGED: dict[str, tuple[str, str]] = {
    "comment": ('return f"', '# the end\n    return f"'),
    "docstring": ('"""Train."""', '"""Train and score."""'),
    "no docstring": ('    """Train."""\n', ""),
    "docstring of an inner class": ('"""Keep."""', '"""Hold."""'),
    "no docstring of an inner class": ('        """Keep."""\n', ""),
    "blank lines": ("    if folds", "\n\n    if folds"),
    "indentation": ("        pass", "            pass"),
    "line breaks": ("len(values)", "len(\n        values,\n    )"),
    "parentheses": ("model * fold for", "(model * fold) for"),
    "quotes": ("'a' \"b\"", "'''ab'''"),
    "number": ("> 2", "> 0x2"),
    "annotation of an argument": ("folds: int", "folds: float"),
    "no annotation of an argument": ("folds: int", "folds"),
    "annotation of the return": (" -> float", ""),
    "annotation of a variable": ("scores: list", "scores: tuple"),
    "no annotation of a variable": ("scores: list", "scores"),
    "variable declared": ("    if folds", "    late: int\n    if folds"),
    "pass": ("    if folds", "    pass\n    if folds"),
    "mark": ('@pytest.mark.parametrize("x", [1])', '@pytest.mark.parametrize("x", [1, 2])'),
    "mark by name": ('@pytest.mark.parametrize("x", [1])', "@mark.usefixtures()"),
    "no mark": ('@pytest.mark.parametrize("x", [1])\n', ""),
    "name": ("def experiment(", "def renamed("),
    "code elsewhere": ("def other(function): return function", "def other(function): return None"),
    "lines before": ("def keep", "\n\n\ndef keep"),
}

CHANGED: dict[str, tuple[str, str]] = {
    "constant": ("> 2", "> 3"),
    "type of a constant": ("> 2", "> 2.0"),
    "operator": ("> 2", ">= 2"),
    "default": ("int = 5", "int = 6"),
    "kind of argument": ("model, *, folds", "model, folds"),
    "name of an argument": ("model, *,", "model_, *,"),
    "no default": ("int = 5", "int"),
    "statement": ('return f"', 'print()\n    return f"'),
    "statement in a branch": ("        pass", "        folds += 1"),
    "else": ("        pass", "        pass\n    else:\n        folds = 1"),
    "literal": ("'a' \"b\"", "'a' 'c'"),
    "bytes": ("'a' \"b\"", "b'ab'"),
    "conversion": ("{mean(scores):.2f}", "{mean(scores)!r:.2f}"),
    "format": (".2f", ".3f"),
    "f-string": ('f"{mean(scores):.2f}"', '"{mean(scores):.2f}"'),
    "called": ("sum(values)", "max(values)"),
    "argument given": ("range(folds)", "range(1, folds)"),
    "brackets": (
        "[model * fold for fold in range(folds)]",
        "{model * fold for fold in range(folds)}",
    ),
    "decorator": ("@keep", "@other"),
    "no decorator": ("@keep\n", ""),
    "decorator's argument": ("@keep", "@functools.wraps(keep)"),
    "inner function": ("/ len(values)", "/ 2"),
    "name of an inner function": ("def mean(", "def median("),
    "field of an inner class": ("kept: int = 1", "kept: int = 2"),
    "annotation of a field": ("kept: int = 1", "kept: float = 1"),
    "no annotation of a field": ("kept: int = 1", "kept = 1"),
    "field declared": ("kept: int = 1", "kept: int = 1; more: int"),
    "return": ('return f"', 'f"'),
    "async": ("def experiment", "async def experiment"),
}


def digest_of(module: Any) -> Digest:
    function = next(
        each for name, each in vars(module).items() if name in ("experiment", "renamed")
    )
    return own_digest(function)


def own_digest(function: Any) -> Digest:
    manifest = Codebase().describe(function).manifest
    return manifest[f"{function.__module__}.{function.__qualname__}"]


def edited(edit: tuple[str, str]) -> str:
    assert ORIGINAL.count(edit[0]) == 1
    return ORIGINAL.replace(*edit)


@pytest.mark.parametrize("edit", UNCHANGED)
def test_does_not_count(edit: str, load: Load) -> None:
    assert digest_of(load(edited(UNCHANGED[edit]))) == digest_of(load(ORIGINAL))


@pytest.mark.parametrize("edit", CHANGED)
def test_counts(edit: str, load: Load) -> None:
    assert digest_of(load(edited(CHANGED[edit]))) != digest_of(load(ORIGINAL))


def test_each_edit_gives_another_digest(load: Load) -> None:
    digests = {digest_of(load(edited(edit))) for edit in CHANGED.values()}
    assert len(digests) == len(CHANGED)


SYNTAX = '''
def decorate(function): return function

@decorate
async def every(a, /, b: int = 1, *args: int, c=2, d, **kwargs: str) -> None:
    """Use most of the grammar."""
    global g
    x: int = -1_000
    x += 0xFF + 1e3 + 2j
    y = [i async for i in a if i] + [*args] + list({**kwargs, "k": ...})
    t = u"a" f"{x!r:>{b}}" f"{x=}" f'{x}{"{}"}' + rb"".decode() + f"" + f"{x:{''}}"
    try:
        assert x, "message"
        async with a as (p, *q), b: raise ValueError(b"\\x00") from None
    except (ValueError, TypeError) as error: del x, error.args[0:1, ::2]
    else: yield (z := lambda k=1, *v: k if k else not v)
    finally: await a
    match x:
        case ({"k": [1, *_]} | 2.5) as m if m: ...
        case {"k": _, **rest}: ...
        case [int(), *rest] | (str(), *rest): ...
        case int(real=0) | None | "s": pass
        case _: nonlocals = {1, 2}
    while True:
        if x is not None and 1 < x <= 3 or ~x: break
        elif x @ y: continue
    for i, (j, k) in enumerate(y): print(i, *y, sep="", **kwargs)
    class Inner(list, metaclass=type):
        field: int = 0
        def method(self) -> "Inner": import os.path as p, sys; from . import more
'''


def test_is_the_same_on_every_version_of_python(load: Load) -> None:
    # Computed once, on Python 3.11: whatever changes this makes all stored results stale.
    assert own_digest(load(SYNTAX).every) == "84aab07bfe60309edc139451e7c5c61b"


def test_is_the_same_in_another_process_and_another_place(
    load: Load, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "elsewhere.py").write_text("\n\n\n" + ORIGINAL)
    code = "import elsewhere; from pytest_memento.fingerprint import Codebase; "
    code += "print(Codebase().describe(elsewhere.experiment).manifest['elsewhere.experiment'])"
    path = os.pathsep.join([str(tmp_path), str(ROOT), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == digest_of(load(ORIGINAL))


def plain(x: int) -> int:
    return x


def wrapping(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def wrapper(*args: object) -> object:
        return function(*args)

    return wrapper


class Holder:
    def method(self) -> None: ...

    @staticmethod
    def static() -> None: ...

    @classmethod
    def of_class(cls) -> None: ...


wrapped = wrapping(plain)
twice = wrapping(wrapping(plain))


@pytest.mark.parametrize(
    "function",
    [
        plain,
        wrapped,
        twice,
        functools.partial(plain, 1),
        functools.partial(functools.partial(wrapped), 1),
        functools.lru_cache(plain),
        staticmethod(plain),
        wrapping(functools.partial(plain)),
    ],
)
def test_wrappers_are_looked_through(function: Callable[..., object]) -> None:
    assert Codebase().describe(function).manifest == {f"{__name__}.plain": own_digest(plain)}


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (Holder.method, "method"),
        (Holder().method, "method"),
        (vars(Holder)["static"], "static"),
        (Holder.of_class, "of_class"),
        (vars(Holder)["of_class"], "of_class"),
    ],
)
def test_methods_are_described_under_their_class(method: Any, name: str) -> None:
    assert f"{__name__}.Holder.{name}" in Codebase().describe(method).manifest


# -- projects of many modules ----------------------------------------------------------------------


def experiment_of(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """Import a module that was written below *root*, and return its experiment."""
    monkeypatch.syspath_prepend(root)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return importlib.import_module(name).experiment


def test_star_imports_in_circles_are_searched_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each module, that is, not once for each of the 16**32 ways through them."""
    names = [f"star_{number}" for number in range(16)]
    for name in names:
        stars = "\n".join(f"from {other} import *" for other in names if other != name)
        (tmp_path / f"{name}.py").write_text(f"{stars}\nVALUE_{name} = 1\n")
    (tmp_path / "exp_star.py").write_text(
        "from star_0 import *\ndef experiment(): return VALUE_star_15, nowhere\n"
    )
    experiment = experiment_of(tmp_path, monkeypatch, "exp_star")
    found = Codebase(tmp_path).describe(experiment).manifest
    assert {*found} == {"exp_star.experiment", "star_15.VALUE_star_15"}


def test_classes_and_calls_in_many_layers_are_followed_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each class has two bases below it, each function two that it calls: 2**40 ways to the end."""
    lines = ["TABLE = {}", "class A0: pass", "def f0(x): TABLE[x] = 1"]
    lines += [f"class B{n}(A{n}): pass\nclass C{n}(A{n}): pass\nclass A{n + 1}(B{n}, C{n}): pass\n"
              f"def f{n + 1}(x): f{n}(x) if x else f{n}(x)" for n in range(40)]  # fmt: skip
    lines += ["def register(f):\n    f40(f)\n    return f", "@register\ndef unrelated(): pass"]
    lines += ["class Experiment(A40): pass", "def experiment(): return Experiment, TABLE"]
    (tmp_path / "exp_layers.py").write_text("\n".join(lines))
    experiment = experiment_of(tmp_path, monkeypatch, "exp_layers")
    found = Codebase(tmp_path).describe(experiment).manifest
    assert {"exp_layers.TABLE", "exp_layers.unrelated", "exp_layers.A0"} <= {*found}


def test_what_was_installed_into_a_directory_of_its_own_is_not_the_users(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by ``pip install --target``, here among modules of the user."""
    info = tmp_path / "scaling-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scaling\nVersion: 1.0\n")
    (info / "RECORD").write_text("scaling/__init__.py,,\nscaling_one.py,,\n")
    (tmp_path / "scaling").mkdir()
    (tmp_path / "scaling/__init__.py").write_text("def scale(x): return x")
    (tmp_path / "scaling_one.py").write_text("def scale(x): return x")
    (tmp_path / "helpers.py").write_text("def scale(x): return x")
    (tmp_path / "exp_target.py").write_text(
        "import scaling, scaling_one, helpers\n"
        "def experiment(): return scaling.scale(1), scaling_one.scale(1), helpers.scale(1)\n"
    )
    code = Codebase(tmp_path).describe(experiment_of(tmp_path, monkeypatch, "exp_target"))
    assert {*code.manifest} == {"exp_target.experiment", "helpers.scale"}
    assert code.packages == {"scaling", "scaling_one"}
