"""``cached``: what is slow is computed once for a store."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import MementoError, MementoWarning, cached
from pytest_memento.caching import Home, use
from pytest_memento.store import Store


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Home]:
    """A store of its own."""
    home = Home(Store(tmp_path / "store"), tmp_path)
    before = use(home)
    yield home
    use(before)


def test_a_value_is_computed_once_for_its_arguments() -> None:
    @cached
    def double(x: Any, factor: int = 2) -> Any:
        """Double it."""
        CALLS.append(x)
        return x * factor

    CALLS.clear()
    assert [double(3), double(x=3), double(3, 2), double(3, factor=2)] == [6] * 4
    assert CALLS == [3]
    assert double(3.0) == 6
    assert double([1]) == [1, 1]
    assert double([1]) == [1, 1]
    assert CALLS == [3, 3.0, [1]]
    assert (double.__name__, double.__doc__) == ("double", "Double it.")


CALLS: list[Any] = []


def first(x: int) -> int:
    return x


def doubled(function: Callable[[int], int]) -> Callable[[int], int]:
    @functools.wraps(function)
    def wrapper(x: int) -> int:
        return 2 * function(x)

    return wrapper


def test_functions_of_one_name_are_different_arguments() -> None:
    @cached
    def called(function: Callable[[int], int]) -> int:
        return function(3)

    functions = [first, doubled(first), doubled(doubled(first))]
    assert [called(function) for function in functions] == [3, 6, 12]


def test_none_and_exceptions() -> None:
    @cached
    def nothing() -> None:
        CALLS.append(1)

    @cached
    def fails() -> None:
        CALLS.append(2)
        raise ValueError("no")

    CALLS.clear()
    assert nothing() is None
    assert nothing() is None
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            fails()
    assert CALLS == [1, 2, 2]


def test_what_is_returned_later_is_a_copy() -> None:
    @cached
    def numbers() -> list[int]:
        return [1, 2]

    numbers().append(3)
    numbers().append(4)
    assert numbers() == [1, 2]


def test_clear() -> None:
    @cached
    def square(x: int) -> int:
        CALLS.append(x)
        return x * x

    CALLS.clear()
    square(2)
    square(3)
    assert square.clear() == 2
    assert square.clear() == 0
    assert square(2) == 4
    assert CALLS == [2, 3, 2]


def test_the_closure_and_the_version_count() -> None:
    def adding(n: int) -> Callable[[int], int]:
        @cached
        def add(x: int) -> int:
            return x + n

        return add

    assert [adding(1)(1), adding(2)(1), adding(1)(1)] == [2, 3, 2]

    def versioned(number: int) -> Callable[[], int]:
        @cached(version=number)
        def call() -> int:
            CALLS.append(0)
            return 0

        return call

    CALLS.clear()
    for number in (1, 1, 2, 1):
        versioned(number)()
    assert len(CALLS) == 2


def test_code_among_the_arguments_stays_while_its_digest_is_known() -> None:
    """Or another function might come to lie where it was, and be taken for it."""

    @cached
    def call(function: Callable[[], int]) -> int:
        return function()

    given = lambda: 3  # noqa: E731
    there = weakref.ref(given)
    assert call(given) == 3
    del given
    gc.collect()
    assert there() is not None


def test_generators_and_what_is_no_function_are_refused() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(MementoError, match=r"numbers is a generator, .*: return a list"):
        cached(numbers)
    with pytest.raises(MementoError, match="cached decorates functions, not len"):
        cached(len)


def test_an_argument_without_a_fingerprint() -> None:
    @cached
    def use_it(lock: object) -> None: ...

    with pytest.raises(MementoError, match=r"the argument 'lock' of .*use_it"):
        use_it(threading.Lock())


def test_what_cannot_be_stored_is_returned_with_a_warning() -> None:
    @cached
    def lock() -> Any:
        return threading.Lock()

    with pytest.warns(MementoWarning, match=r"lock returned is not kept: cannot pickle"):
        assert lock().acquire()


def test_what_cannot_be_loaded_is_computed_again(home: Home) -> None:
    @cached
    def one() -> int:
        CALLS.append(1)
        return 1

    CALLS.clear()
    one()
    (path,) = home.store.root.glob("cached/results/*/*.result")
    data = path.read_bytes()
    path.write_bytes(data[:-4])
    with pytest.warns(MementoWarning, match="set aside"):
        assert one() == 1
    assert one() == 1
    assert len(CALLS) == 2


def test_a_call_of_itself_with_the_same_arguments_does_not_wait_for_itself() -> None:
    @cached
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    @cached
    def forever() -> int:
        return forever()

    assert fibonacci(12) == 144
    with pytest.raises(RecursionError, match="forever has called itself with the same arguments"):
        forever()


def test_methods() -> None:
    class Data:
        def __init__(self, size: int) -> None:
            self.size = size

        @cached
        def rows(self, start: int) -> list[int]:
            CALLS.append(self.size)
            return list(range(start, self.size))

    CALLS.clear()
    assert Data(3).rows(1) == [1, 2]
    assert Data(3).rows(1) == [1, 2]
    assert Data(4).rows(1) == [1, 2, 3]
    assert CALLS == [3, 4]


def test_threads_compute_once() -> None:
    @cached
    def slow() -> int:
        CALLS.append(1)
        time.sleep(0.3)
        return 7

    CALLS.clear()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(slow())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [7] * 4
    assert CALLS == [1]


def test_coroutines_compute_once_and_the_loop_goes_on() -> None:
    @cached
    async def slow(x: int) -> int:
        CALLS.append(x)
        await asyncio.sleep(0.2)
        return x

    async def ticks() -> int:
        number = 0
        for _ in range(5):
            await asyncio.sleep(0.01)
            number += 1
        CALLS.append("ticked")
        return number

    async def run() -> list[int]:
        return [*await asyncio.gather(slow(1), slow(1), slow(2), ticks())]

    CALLS.clear()
    assert asyncio.run(run()) == [1, 1, 2, 5]
    assert sorted(map(str, CALLS)) == ["1", "2", "ticked"]
    assert asyncio.run(slow(1)) == 1


def script(path: Path, text: str, *options: str, edit: Sequence[str] = ()) -> str:
    (path / "load.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if "MEMENTO" not in name}
    done = subprocess.run(
        [sys.executable, *options, "load.py", *edit],
        cwd=path,
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_script_without_pytest_has_the_store_that_pytest_would_have(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmemento_dir = kept\n")
    below = tmp_path / "scripts"
    below.mkdir()
    helper = "def scale(x):\n    return x * 2\n"
    (below / "helper.py").write_text(helper)
    text = (
        "import sys\nfrom pytest_memento import cached\nfrom helper import scale\n"
        "@cached\ndef load(x):\n    print('computed')\n    return scale(x)\n"
        "print(load(3))\nassert 'pytest' not in sys.modules\n"
    )
    assert script(below, text) == "computed\n6\n"
    assert script(below, text + "# a remark\n") == "6\n"
    assert (tmp_path / "kept" / "cached").is_dir()
    (below / "helper.py").write_text(helper.replace("* 2", "* 3"))
    assert script(below, text) == "computed\n9\n"


EDITS = """
import pathlib, sys, time
from pytest_memento import cached
import helper

@cached
def load():
    print("computed")
    return helper.factor() * 10

def make():
    @cached
    def inner():
        print("computed")
        return 30
    return inner

def edit(name, old, new):
    path = pathlib.Path(name)
    time.sleep(1.1)  # to a time that a bytecode file tells from the one before
    path.write_text(path.read_text().replace(old, new))

if sys.argv[1:]:
    edit(*sys.argv[1:])
print(load(), make()())
"""


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_module_that_was_edited_after_it_was_imported(tmp_path: Path, is_compiled: bool) -> None:
    (tmp_path / "helper.py").write_text("def factor():\n    return 1\n")
    more = [] if is_compiled else ["-B"]
    edited = script(tmp_path, EDITS, *more, edit=["helper.py", "1", "99"])
    assert edited == "computed\ncomputed\n10 30\n"
    assert script(tmp_path, EDITS, *more) == "computed\n990 30\n"
    assert script(tmp_path, EDITS, *more) == "990 30\n"


def test_a_script_that_is_edited_while_it_runs(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def factor():\n    return 1\n")
    edited = script(tmp_path, EDITS, edit=["load.py", "0\n", "5\n"])
    assert edited == "computed\ncomputed\n10 30\n"
    text = (tmp_path / "load.py").read_text()
    assert script(tmp_path, text) == "computed\ncomputed\n15 35\n"
    assert script(tmp_path, EDITS) == "computed\n10 30\n"  # the first of them was kept


def test_a_module_that_was_reloaded_after_an_edit(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def factor():\n    return 1\n")
    text = EDITS + "import importlib\nimportlib.reload(helper)\nprint(load())\n"
    edited = script(tmp_path, text, edit=["helper.py", "1", "99"])
    assert edited == "computed\ncomputed\n10 30\ncomputed\n990\n"
    again = script(tmp_path, text)  # what importing the script does counts for all of it
    assert again == "computed\n990 30\n990\n"


def values_of(path: Path, text: str, *told: str) -> str:
    """Run a script that prints what it gets, and "!" for what it computes."""
    text = f"import sys\nfrom pytest_memento import cached\nimport helper\n{text}"
    return " ".join(script(path, text, edit=told).split())


HELPER = """
import json, threading
FACTOR, LIMIT = 2, 9
TABLE = {"a": 1}
SEEN = []
model = None
client = threading.Lock()
part = json.loads("[1]")
def scale(x):
    return x * FACTOR
def first_use():
    global model
    if model is None:
        model = threading.Lock()
    SEEN.append(1)
    return 1
"""
CHANGES = {
    "a closure": (
        "def make():\n    data = [1]\n    k = 1\n    @cached\n"
        "    def f():\n        print('!')\n        return len(data) * k\n"
        "    print(f(), f())\n    data.append(2)\n    print(f())\n    k = 5\n    print(f())\n"
        "    data.pop()\n    k = 1\n    print(f())\nmake()\n",
        "! 1 1 ! 2 ! 10 1",
    ),
    "a global": (
        "K = 1\n@cached\ndef f():\n    print('!')\n    return K\ndef main():\n"
        "    global K\n    print(f(), f())\n    K = 2\n    print(f(), f())\n    K = 1\n"
        "    print(f())\nmain()\n",
        "! 1 1 ! 2 2 1",
    ),
    "a global that is bound twice": (
        "K = 1\n@cached\ndef f():\n    print('!')\n    return K\nprint(f(), f())\nK = 2\n"
        "print(f(), f())\nfor K in (3, 4):\n    print(f(), f())\n",
        "! 1 1 ! 2 2 ! 3 3 ! 4 4",
    ),
    "one that only a script has": (
        "@cached\ndef f():\n    print('!')\n    return K\n"
        "if __name__ == '__main__':\n    K = 1\n    print(f(), f())\n    K = 2\n    print(f())\n",
        "! 1 1 ! 2",
    ),
    "a constant of a module": (
        "@cached\ndef f():\n    print('!')\n    return helper.scale(1) * helper.TABLE['a']\n"
        "print(f(), f())\nhelper.FACTOR = 5\nprint(f())\nhelper.TABLE['a'] = 2\nprint(f())\n",
        "! 2 2 ! 5 ! 10",
    ),
    "a function of a module": (
        "@cached\ndef f():\n    print('!')\n    return helper.scale(1)\n"
        "print(f())\nbefore = helper.scale\nhelper.scale = lambda x: -x\nprint(f(), f())\n"
        "helper.scale = before\nprint(f())\n",
        "! 2 ! -1 -1 2",
    ),
    "what no constant says": (
        "@cached\ndef f():\n    print('!')\n    return helper.part\n"
        "print(f())\nhelper.part = [2]\nprint(f(), f())\n",
        "! [1] ! [2] [2]",
    ),
    "what is told": (
        "K = int(sys.argv[1])\n@cached\ndef f():\n    print('!')\n    return K\nprint(f(), f())\n",
        "! 7 7",
    ),
    "what is made on first use": (
        "@cached\ndef f(x):\n    print('!')\n    return x + helper.first_use()\n"
        "print(f(1), f(2), f(1), f(2))\n",
        "! ! 2 3 2 3",
    ),
    "without a fingerprint": (
        "@cached\ndef f():\n    print('!')\n    return helper.client is not None\nprint(f(), f())\n"
        "import threading\nhelper.client = threading.Lock()\nprint(f(), f())\n",
        "! True True ! ! True True",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_between_two_calls(what: str, tmp_path: Path) -> None:
    text, expected = CHANGES[what]
    (tmp_path / "helper.py").write_text(HELPER)
    assert values_of(tmp_path, text, "7") == expected
    again = expected if what == "without a fingerprint" else expected.replace("! ", "")
    if what == "without a fingerprint":
        again = again.removeprefix("! ")
    assert values_of(tmp_path, text, "7") == again


def test_what_a_script_is_told_counts(tmp_path: Path) -> None:
    text, _ = CHANGES["what is told"]
    (tmp_path / "helper.py").write_text(HELPER)
    found = [values_of(tmp_path, text, each) for each in ("7", "8", "7")]
    assert found == ["! 7 7", "! 8 8", "7 7"]


def typed(path: Path, text: str) -> list[str]:
    """Run what is typed at a prompt, or in the cells of a notebook: it stands in no file."""
    environment = {name: value for name, value in os.environ.items() if "MEMENTO" not in name}
    done = subprocess.run(
        [sys.executable, "-"], cwd=path, env=environment, input=text, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


TYPED = """
from pytest_memento import cached
FACTOR = 2
def scale(x):
    return x * FACTOR
@cached
def load(x):
    print('computed')
    return scale(x)
print(load(3), load(3))
"""


def test_what_stands_in_no_file_counts_with_all_that_it_uses(tmp_path: Path) -> None:
    assert typed(tmp_path, TYPED) == ["computed", "6", "6"]
    assert typed(tmp_path, TYPED) == ["6", "6"]
    edited = TYPED.replace("x * FACTOR", "x * FACTOR + 1")
    assert typed(tmp_path, edited) == ["computed", "7", "7"]
    assert typed(tmp_path, TYPED.replace("FACTOR = 2", "FACTOR = 5")) == ["computed", "15", "15"]
    again = "def scale(x):\n    return x * 10\nprint(load(3))\nFACTOR = 7\nprint(load(3))"
    assert typed(tmp_path, f"{TYPED}\n{again}") == ["6", "6", "computed", "30", "30"]


WAITERS = """
import asyncio, threading
from pytest_memento import cached

@cached
async def load(x):
    print("computed")
    await going_on.wait()
    if x == "fails":
        raise ValueError(x)
    return x

async def holders(expected):
    for _ in range(500):
        found = [each for each in threading.enumerate() if each.name == "memento-claim"]
        if len(found) == expected:
            break
        await asyncio.sleep(0.01)  # a thread that is through needs a moment to end
    return len(found)

async def main(x, gives_up):
    global going_on
    going_on = asyncio.Event()
    first = asyncio.create_task(load(x))
    await asyncio.sleep(0.2)
    waiters = [asyncio.create_task(load(x)) for _ in range(2)]
    await asyncio.sleep(0.2)
    assert await holders(3) == 3
    for each in gives_up([first, *waiters]):
        each.cancel()
        await asyncio.wait([each])
        assert each.cancelled()
    left = [each for each in [first, *waiters] if not each.done()]
    print("left", await holders(len(left)))
    going_on.set()
    for each in await asyncio.gather(*left, return_exceptions=True):
        print(repr(each))
    assert await holders(0) == 0
"""


@pytest.mark.parametrize(
    ("gives_up", "expected"),
    [
        ("lambda tasks: tasks[1:]", "computed left 1 1"),
        ("lambda tasks: tasks[:1]", "computed left 2 computed 1 1"),
        ("lambda tasks: tasks[::-1]", "computed left 0"),
    ],
)
def test_a_coroutine_that_is_cancelled_leaves_no_claim_behind(
    gives_up: str, expected: str, tmp_path: Path
) -> None:
    done = script(tmp_path, f"{WAITERS}\nasyncio.run(main(1, {gives_up}))\n")
    assert done.split() == expected.split()
    assert not [*tmp_path.glob(".pytest_cache/memento/cached/claims/*/*.lock")]
    assert not [*tmp_path.glob(".pytest_cache/memento/cached/running/*")]


def test_coroutines_that_wait_for_one_that_fails(tmp_path: Path) -> None:
    done = script(tmp_path, f'{WAITERS}\nasyncio.run(main("fails", lambda tasks: []))\n')
    failures = ["left 3"] + ["computed"] * 2 + ["ValueError('fails')"] * 3
    assert done.splitlines() == ["computed", *failures]
    assert not [*tmp_path.glob(".pytest_cache/memento/cached/claims/*/*.lock")]


def test_a_loop_that_is_left_does_not_keep_the_process(tmp_path: Path) -> None:
    text = (
        f"{WAITERS}\ngoing_on = None\n"
        "class Forever:\n    def wait(self):\n        return asyncio.get_running_loop()."
        "create_future()\n"
        "going_on = Forever()\nloop = asyncio.new_event_loop()\ntask = loop.create_task(load(1))\n"
        "loop.call_later(0.3, loop.stop)\nloop.run_forever()\nprint('stopped')\n"
    )
    assert script(tmp_path, text).split() == ["computed", "stopped"]
