"""Digests of a function's own code, found from the function itself."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_memento.fingerprint import Digest
from pytest_memento.fingerprint.functions import digest_function

ROOT = pathlib.Path(__file__).parents[2]

numbers = itertools.count()

Load = Callable[[str], Any]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from(["x", "1", "'a'", "f(x)", "[x]", "(x, 1)"]), min_size=2, max_size=4)
)
def test_written_differently_is_the_same_and_ordered_differently_is_not(terms: list[str]) -> None:
    def digest(expression: str) -> Digest:
        return written_alone(f"def f(x):\n    return {expression}\n")

    plain = " + ".join(terms)
    assert digest(plain) == digest("(  " + "+\n  ".join(f"({term})" for term in terms) + ")")
    reordered = " + ".join(reversed(terms))
    assert (digest(plain) == digest(reordered)) == (plain == reordered)


def written_alone(source: str) -> Digest:
    """Return the digest of the one function of *source*, as if it was in a file."""
    import linecache

    filename = f"/written/{next(numbers)}.py"
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    names: dict[str, Any] = {}
    exec(compile(source, filename, "exec"), names)
    return digest_function(names["f"])


LAMBDAS = """
fs = [lambda x: x + 1, lambda x: x + 2, lambda x: x * 1, lambda y: y + 1, lambda x: y + 1]
def close(one, other): return lambda: one, lambda: one + other, lambda: other, lambda: two
fs += close(1, 2)
"""


def test_lambdas_of_one_line_are_told_apart(load: Load) -> None:
    lambdas = load(LAMBDAS).fs
    assert len({digest_function(each) for each in lambdas}) == len(lambdas)


def test_a_lambda_is_the_same_wherever_it_stands(load: Load) -> None:
    alone = load("f = lambda x: x + 1").f
    several = load("f, g = lambda x: x + 1, lambda x: (lambda x: x + 1, 2)\nh = g(0)[0]")
    spread = load("f = (\n  lambda x:  # add\n    x + 1\n)").f
    called = load("f = (lambda g, n: g)(lambda x: x + 1, n=[lambda x: x + 2])").f
    digests = {digest_function(each) for each in (alone, several.f, several.h, spread, called)}
    assert len(digests) == 1


def test_a_lambda_inside_a_lambda_counts(load: Load) -> None:
    module = load("f, g = lambda: lambda: 1, lambda: lambda: 2")
    assert digest_function(module.f) != digest_function(module.g)


def test_lambdas_of_a_class_with_private_names_are_told_apart(load: Load) -> None:
    module = load("class C: f, g = lambda self: self.__a, lambda self: self.__b")
    assert digest_function(module.C.f) != digest_function(module.C.g)


def test_without_source_the_bytecode_counts() -> None:
    def run(source: str) -> Digest:
        names: dict[str, Any] = {}
        exec(source, names)
        return digest_function(names["f"])

    sources = [
        "def f(x): return x + 1",
        "def f(x): return x + 2",
        "def f(x): return x + 1.0",
        "def f(x): return y + 1",
        "def f(x): return x in {'a', 'b', 'c'}",
        "def f(x): return x in {'a', 'b', 'd'}",
        "def f(x): return [lambda: 1]",
        "def f(x): return [lambda: 2]",
        "def f(x, /): return x + 1",
    ]
    assert len({run(source) for source in sources}) == len(sources)
    assert run("def f(x): return x + 1") == run("\n\ndef g(): pass\n\ndef f(x):\n  return (x + 1)")


def test_a_file_that_no_longer_parses_is_no_source(tmp_path: pathlib.Path, load: Load) -> None:
    module = load("def f(): return 1")
    pathlib.Path(module.__file__).write_text("def f(: return 1")
    names: dict[str, Any] = {}
    exec("def f(): return 1", names)
    assert digest_function(module.f) == digest_function(names["f"])


def test_equal_code_of_two_files_is_read_from_its_own_file(load: Load) -> None:
    plus, minus = load("def f(): return 1 + 2").f, load("def f(): return 4 - 1").f
    assert plus.__code__ == minus.__code__
    assert digest_function(plus) != digest_function(minus)


def test_long_chains_are_no_trouble(load: Load) -> None:
    branches = "\n".join(f"    elif x == {n}: return {n}" for n in range(300))
    module = load(f"def f(x):\n    if x: return x\n{branches}\ndef g(x): return {'x + ' * 500}x\n")
    assert digest_function(module.f) != digest_function(module.g)
