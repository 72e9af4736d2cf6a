"""Digests of values: equal in every process for equal values, different for every difference."""

from __future__ import annotations

import collections
import copy
import datetime as dt
import decimal
import enum
import fractions
import functools
import io
import itertools
import math
import os
import pathlib
import pickle
import re
import socket
import struct
import subprocess
import sys
import threading
import types
import typing
import uuid
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_memento.errors import FingerprintError
from pytest_memento.fingerprint import Digest, digest_named, digest_value

ROOT = pathlib.Path(__file__).parents[2]


class Plain:
    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


class Other(Plain):
    pass


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, **attributes: object) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class SlottedAndMore(Slotted):
    pass


class Point(NamedTuple):
    x: float
    y: float


class OtherPoint(NamedTuple):
    x: float
    y: float


class MyList(list[object]):
    pass


class MyDict(dict[object, object]):
    pass


class MySet(set[object]):
    pass


class MyFrozenSet(frozenset[object]):
    pass


class MyInt(int):
    pass


class MyStr(str):
    __slots__ = ()


class MyTuple(tuple[object, ...]):
    __slots__ = ()


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Loud(enum.IntEnum):
    RED = 1


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Settings:
    folds: int = 5
    names: list[str] = field(default_factory=list)


@dataclass
class OtherSettings:
    folds: int = 5
    names: list[str] = field(default_factory=list)


class UndeclaredSettings(Settings):
    """Not a dataclass itself: it has attributes that are no fields."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more


@dataclass(frozen=True)
class Frozen:
    x: object


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    x: object
    y: object = 0


class Keyed:
    def __init__(self, name: str, cache: object = None) -> None:
        self.name = name
        self.cache = cache

    def __memento_key__(self) -> object:
        return self.name


class OtherKeyed(Keyed):
    pass


def versioned(name: str, key: object) -> type:
    return type(name, (), {"__memento_key__": key, "__module__": "somewhere"})


class Refusing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __memento_key__(self) -> NoReturn:
        raise self.error


class Unstateable:
    def __getstate__(self) -> NoReturn:
        raise OSError("the disk is gone")


class Unreducible:
    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise ValueError("not today")


class ArrayState:
    """Its state has no truth value, as that of a numpy array."""

    class State(list[int]):
        def __bool__(self) -> NoReturn:
            raise ValueError("ambiguous")

    def __init__(self, *values: int) -> None:
        self.values = values

    def __getstate__(self) -> object:
        return self.State(self.values)

    def __setstate__(self, state: State) -> None:
        self.values = tuple(state)


def a_function(x: object) -> object:
    return x


def other_function(x: object) -> object:
    return x


def make_local(value: object, *, default: object = None) -> Callable[[], object]:
    def local(other: object = default) -> object:
        return value, other

    return local


def make_recursive(base: object) -> Callable[[int], object]:
    def recursive(depth: int) -> object:
        return recursive(depth - 1) if depth else base

    return recursive


LAMBDAS = (lambda x: x + 1, lambda x: x + 2)
SAME_LAMBDA_TWICE = [lambda x: x * 3 for _ in range(2)]


def cyclic_list(*values: object) -> list[object]:
    cycle: list[object] = [*values]
    cycle.append(cycle)
    return cycle


def family(*names: str) -> Plain:
    """Return a parent with children that point to it."""
    parent = Plain(name="parent")
    vars(parent)["children"] = [Plain(name=name, parent=parent) for name in names]
    return parent


def child_of(parent: Plain) -> object:
    return vars(parent)["children"][0]


class Node:
    """Hashed by identity, with its neighbours in a set: met in another order in each process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near: set[Node] = set()


def ring(*names: str) -> Node:
    nodes = [Node(name) for name in names]
    for node, after in itertools.pairwise([*nodes, nodes[0]]):
        node.near.add(after)
        after.near.add(node)
    return nodes[0]


# Each line holds values that all differ from all others in the table.
DIFFERENT: list[object] = [
    *(None, True, False, 0, 1, 2, -1, 255, 256, -256, 2**64, 2**64 + 1, 10**5000),
    *(1.0, 0.0, -0.0, math.nan, math.inf, -math.inf, 1e-300),
    *(1j, complex(1, 0), complex(0, -0.0), complex(math.nan, 1), complex(1, math.nan)),
    *("", "1", "a", "ä", "\ud800", "None", "a" * 2000, "a" * 2001),
    *(b"", b"1", b"a", b"a" * 2000, bytearray(b"1"), bytearray(), memoryview(b"1")),
    *([], [1], [1, 2], [2, 1], [[1], 2], [[1, 2]], [[]], ["1"], [None]),
    *((), (1,), (1, 2), ((1,), 2), ((),), ("ab",), ("a", "b")),
    *({}, {1: 2}, {2: 1}, {"1": 2}, {1: "2"}, {"a": {}}, {"a": {"b": 1}}, {"a": 1, "b": 2}),
    *(set(), {1}, {1, 2}, {"1"}, frozenset(), frozenset({1}), {frozenset({1})}),
    *(collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)),
    *(collections.defaultdict(list), collections.defaultdict(dict), collections.Counter("aab")),
    *(collections.deque([1, 2]), collections.deque([1, 2], maxlen=2), collections.deque([2, 1])),
    *(Point(1, 2), Point(1.0, 2), OtherPoint(1, 2), Point(2, 1)),
    *(MyList([1]), MyDict({1: 2}), MySet({1}), MyFrozenSet({1}), MyTuple((1,))),
    *(MyInt(1), MyInt(2), MyStr("1"), MyStr("a")),
    *(Colour.RED, Colour.BLUE, Loud.RED, Mode.READ, Mode.WRITE, Mode.READ | Mode.WRITE),
    *(Settings(), Settings(6), Settings(5, ["a"]), OtherSettings()),
    *(UndeclaredSettings(1), UndeclaredSettings(2), Frozen(1), Frozen((1,))),
    *(FrozenSlots(1), FrozenSlots(2), FrozenSlots(1, 1)),
    *(Plain(), Plain(a=1), Plain(b=1), Plain(a=2), Other(a=1), object()),
    *(Slotted(a=1), Slotted(b=1), Slotted(a=1, b=None), SlottedAndMore(a=1)),
    *(ArrayState(), ArrayState(1)),
    *(pathlib.PurePosixPath("a"), pathlib.PurePosixPath("b"), pathlib.PureWindowsPath("a")),
    *(dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, fold=1)),  # noqa: DTZ001
    *(dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc), dt.time(1), dt.time(1, 0, 0, 1)),
    dt.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    *(dt.timedelta(1), dt.timedelta(0, 1), dt.timedelta(0, 0, 1)),
    *(dt.timezone.utc, dt.timezone(dt.timedelta(hours=1))),
    *(zoneinfo.ZoneInfo("Europe/Paris"), zoneinfo.ZoneInfo("Europe/Rome")),
    *(decimal.Decimal("1.0"), decimal.Decimal("1.00"), fractions.Fraction(1, 2)),
    *(uuid.UUID(int=1), uuid.UUID(int=2)),
    *(range(3), range(4), range(1), range(0), range(0, 3, 2), range(10**30)),
    *(slice(3), slice(0, 3), slice(None), ..., NotImplemented),
    *(re.compile("a"), re.compile("b"), re.compile("a", re.IGNORECASE), re.compile(b"a")),
    *(int, str, Plain, Other, type, type(None), Exception),
    *(a_function, other_function, len, max, math.sin, str.upper, dict.fromkeys, [].append),
    *("a".upper, "b".upper, "a".__add__, int.__add__, type.__dict__["__name__"]),
    *(LAMBDAS[0], LAMBDAS[1], make_local(1), make_local(2), make_local(1, default=1)),
    *(make_recursive(1), make_recursive(2)),
    *(functools.partial(a_function), functools.partial(a_function, 1)),
    *(functools.partial(a_function, x=1), functools.partial(other_function)),
    *(Plain(a=1).__eq__, Keyed("a").__memento_key__, Keyed("b").__memento_key__),
    *(math, types, types.SimpleNamespace(a=1), types.MappingProxyType({"a": 1})),
    *(list[int], list[str], dict[str, int], list, int | None, int | str, typing.Any),
    *(typing.Optional, typing.Literal[1], typing.Literal["1"], Callable[[int], str]),
    *(typing.Annotated[int, 1], typing.Annotated, typing.TypeVar("T"), typing.ForwardRef("X")),
    *(Keyed("a"), Keyed("b"), OtherKeyed("a"), OtherKeyed, versioned("V", 1), versioned("V", 2)),
    *(versioned("W", staticmethod(lambda: 1)), versioned("W", staticmethod(lambda: 2))),
    *(ValueError("a"), ValueError("b"), TypeError("a"), io.BytesIO(b"a"), io.StringIO("a")),
    *(cyclic_list(), cyclic_list(1), [cyclic_list(1)], family("a"), family("b")),
    *(family("a", "b"), family("b", "a"), ring("a", "b"), ring("a", "b", "c"), ring("a", "c", "c")),
]

shared = ["x", 1]
the_family = family("a", "b")
ZONE = zoneinfo.ZoneInfo("Europe/Paris")

EQUAL: list[tuple[object, object]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (MyDict({"a": 1, "b": 2}), MyDict({"b": 2, "a": 1})),
    (collections.defaultdict(int, a=1, b=2), collections.defaultdict(int, b=2, a=1)),
    (collections.Counter("ab"), collections.Counter("ba")),
    ({f"a{n}" for n in range(50)}, {f"a{n}" for n in reversed(range(50))}),
    (MySet({8, 16}), MySet({16, 8})),
    (MyFrozenSet([8, 16]), MyFrozenSet([16, 8])),
    (Plain(a=1, b=2), Plain(b=2, a=1)),
    ([shared, shared], [["x", 1], ["x", 1]]),
    ([the_family, child_of(the_family)], [family("a", "b"), child_of(family("a", "b"))]),
    ([child_of(the_family), the_family], [child_of(family("a", "b")), family("a", "b")]),
    ([cyclic_list(1)] * 2, [cyclic_list(1), cyclic_list(1)]),
    (math.nan, float("-nan")),
    (decimal.Decimal("NaN"), decimal.Decimal("nan")),
    (pathlib.Path("a/b"), pathlib.Path("a//b/")),
    (
        pathlib.Path("a"),
        (pathlib.PureWindowsPath if os.name == "nt" else pathlib.PurePosixPath)("a"),
    ),
    (range(0, 3, 2), range(0, 4, 2)),
    (range(0), range(5, 5, 2)),
    (range(1, 2), range(1, 5, 9)),
    (dt.timezone.utc, dt.timezone(dt.timedelta(0))),
    (dt.timedelta(hours=24), dt.timedelta(days=1)),
    (ZONE, zoneinfo.ZoneInfo.no_cache("Europe/Paris")),
    (re.compile("a"), re.compile("a", re.UNICODE)),
    (int | str, typing.Union[str, int]),  # noqa: UP007
    (typing.Optional[int], int | None),  # noqa: UP045
    (make_local(1), make_local(1)),
    (make_recursive([]), make_recursive([])),
    (SAME_LAMBDA_TWICE[0], SAME_LAMBDA_TWICE[1]),
    (Keyed("a", cache=1), Keyed("a", cache=threading.Lock())),
    (versioned("V", 1), versioned("V", classmethod(lambda cls: 1))),
    (memoryview(b"abcd")[::2], memoryview(b"ac")),
    (ring("a", "b", "c"), ring("a", "c", "b")),
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(dt.timezone.utc))
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([Colour.RED, Mode.READ, int, a_function, pathlib.Path("a")])
)
hashables = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4), max_leaves=4
)
values = st.recursive(
    hashables,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(hashables, inner, max_size=4)
        | st.sets(hashables, max_size=4)
        | st.builds(Frozen, inner)
        | st.builds(FrozenSlots, inner, inner)
        | st.builds(Point, inner, inner)
        | st.builds(MyList, st.lists(inner, max_size=3))
        | st.builds(MySet, st.sets(hashables, max_size=3))
        | st.dictionaries(st.sampled_from("abc"), inner).map(lambda named: Plain(**named))
    ),
    max_leaves=12,
)
quick = settings(deadline=None, max_examples=60)


def reordered(value: Any) -> Any:
    """Return an equal value whose dicts and sets are filled the other way round."""
    if type(value) is dict:
        return {key: reordered(part) for key, part in reversed(value.items())}
    if type(value) in (list, tuple):
        return type(value)(reordered(part) for part in value)
    if type(value) in (set, frozenset, MySet):
        return type(value)(reversed(list(value)))
    if type(value) is Plain:
        return Plain(**{name: reordered(part) for name, part in reversed(vars(value).items())})
    return value


def shape(value: object) -> object:
    """Return something that compares as digests do: types, signs of zero and NaN count."""
    if isinstance(value, set | frozenset):
        return type(value), frozenset(shape(part) for part in value)
    if isinstance(value, list | tuple):
        return type(value), tuple(shape(part) for part in value)
    if isinstance(value, dict):
        return type(value), frozenset((shape(key), shape(part)) for key, part in value.items())
    if isinstance(value, Plain):
        return Plain, shape(vars(value))
    if isinstance(value, Frozen | FrozenSlots):
        return type(value), shape([value.x, getattr(value, "y", None)])
    if isinstance(value, decimal.Decimal | float | complex | dt.datetime):
        return type(value), repr(value).replace("-nan", "nan")
    return type(value), value


@quick
@given(values)
def test_survives_a_pickle_round_trip(value: object) -> None:
    digest = digest_value(value)
    assert digest_value(pickle.loads(pickle.dumps(value))) == digest
    assert digest_value(copy.deepcopy(value)) == digest


@quick
@given(values)
def test_order_of_dicts_and_sets_does_not_count(value: object) -> None:
    assert digest_value(reordered(value)) == digest_value(value)


@quick
@given(values, values)
def test_equal_digests_mean_equal_values(one: object, other: object) -> None:
    assert (digest_value(one) == digest_value(other)) == (shape(one) == shape(other))


@quick
@given(values)
def test_is_32_lower_case_hexadecimal_digits(value: object) -> None:
    assert re.fullmatch("[0-9a-f]{32}", digest_value(value))


def test_each_of_many_kinds_differs_from_all_others() -> None:
    seen: dict[Digest, object] = {}
    for value in DIFFERENT:
        other = seen.setdefault(digest_value(value), value)
        assert other is value


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=lambda value: type(value).__name__)
def test_equal(one: object, other: object) -> None:
    assert digest_value(one) == digest_value(other)


def test_is_asked_twice_without_a_change() -> None:
    assert [digest_value(value) for value in DIFFERENT] == [
        digest_value(value) for value in DIFFERENT
    ]


IN_EACH_PROCESS = """
import collections, datetime, decimal, enum, functools, pathlib, re, typing, uuid, zoneinfo
from dataclasses import dataclass
from pytest_memento.fingerprint import digest_value

words = ["alpha", "beta", "gamma", "delta", "epsilon"]
class Colour(enum.Enum): RED = 1; BLUE = 2
class Mode(enum.Flag): READ = 1; WRITE = 2
class Tagged(set): pass
class Plain:
    def __init__(self, **attributes): vars(self).update(attributes)
@dataclass(frozen=True, slots=True)
class Point: x: object; y: object
Pair = collections.namedtuple("Pair", "x y")

cycle = Plain(words=set(words)); cycle.me = [cycle, {"again": cycle}]
nodes = [Plain(name=word) for word in words]
for node in nodes: node.near = {each for each in nodes if each is not node}
print(digest_value([
    set(words), frozenset(words), {w: {w} for w in words}, {frozenset(words): 1}, Tagged(words),
    {(w, n) for w in words for n in range(3)}, Plain(**{w: set(words) for w in words}),
    collections.defaultdict(set, {w: set(words) for w in words}), collections.Counter(words),
    collections.OrderedDict.fromkeys(words), collections.deque(words, maxlen=9),
    {Colour.RED, Colour.BLUE}, Mode.READ | Mode.WRITE, Point(set(words), 1), Pair(1, set(words)),
    {int, str, Colour, len, functools.partial(sorted, key=len)}, cycle, nodes[0],
    {pathlib.PurePosixPath(w) for w in words}, pathlib.Path, pathlib.PosixPath, dict.fromkeys,
    {datetime.date(2020, 1, d) for d in range(1, 9)}, datetime.timezone.utc,
    zoneinfo.ZoneInfo("Europe/Paris"), decimal.Decimal("1.5"), uuid.UUID(int=1), range(9),
    slice(1, 2), re.compile("a|b", re.I), {int | str, list[int], typing.Optional[str]}, typing.Any,
    typing.Annotated, typing.Annotated[int, "m"], typing.Callable[[int], str], typing.Literal["a"],
    {None, True, 1.5, 2j, "x", b"y", ...}, ValueError("a", 1), object(), 10 ** 5000,
]))
"""


def test_is_the_same_in_every_process_and_on_every_version() -> None:
    digests = set()
    for seed in ("0", "1", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", IN_EACH_PROCESS]
        digests.add(
            subprocess.run(command, env=environment, check=True, capture_output=True).stdout
        )
    # Computed once, on Python 3.11: whatever changes this makes all stored results be missed.
    assert digests == {b"f48d69778a3d088d2163048c26509e69\n"}


def test_imports_no_pytest_and_no_numpy() -> None:
    code = "import sys, pytest_memento.fingerprint; print({'pytest', 'numpy'} & {*sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True
    )
    assert done.stdout.strip() == b"set()"


def test_a_deep_web_of_shared_parts_is_walked_once() -> None:
    web: dict[str, object] = {}
    for _ in range(100):
        web = {"left": web, "right": web}
    assert digest_value(web) == digest_value(copy.deepcopy(web))


def test_a_dense_graph_terminates() -> None:
    def graph() -> list[Plain]:
        nodes = [Plain(name=name) for name in range(30)]
        for node in nodes:
            vars(node)["near"] = [each for each in nodes if each is not node]
        return nodes

    assert digest_value(graph()) == digest_value(graph())


def test_a_dense_graph_of_sets_is_refused_rather_than_walked_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pytest_memento.fingerprint.values._MAX_REVISITS", 1000)
    nodes = [Node(str(name)) for name in range(30)]
    for node in nodes:
        node.near.update(nodes)
    with pytest.raises(FingerprintError, match="refer to each other in so many ways"):
        digest_value(nodes)


def make_generator() -> typing.Iterator[int]:
    yield 1


REFUSED: list[tuple[Callable[[], object], str]] = [
    (threading.Lock, "cannot fingerprint '_thread.lock' object"),
    (make_generator, "cannot fingerprint 'generator' object: it can be read only once"),
    (lambda: map(str, [1]), "cannot fingerprint 'map' object: it can be read only once"),
    (lambda: zip([1], [2], strict=True), "'zip' object: it can be read only once"),
    (lambda: iter([1]), "'list_iterator' object: it can be read only once"),
    (itertools.count, "'itertools.count' object: it can be read only once"),
    ({"a": 1}.keys, "cannot fingerprint 'dict_keys' object"),
    (sys._getframe, "cannot fingerprint 'frame' object"),
    (lambda: Refusing(ValueError("boom")), "__memento_key__ raised ValueError: boom"),
    (Unstateable, "Unstateable' object: pickling raised OSError: the disk is gone"),
    (Unreducible, "Unreducible' object: pickling raised ValueError: not today"),
    (versioned("X", lambda self: self), "returned the object itself"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refuses(make: Callable[[], object], message: str) -> None:
    with pytest.raises(FingerprintError, match=re.escape(message)):
        digest_value(make())


def test_refuses_files_and_sockets(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "file").open("w") as file, socket.socket() as opened:
        with pytest.raises(
            FingerprintError, match=r"cannot fingerprint '_io\.TextIOWrapper' object"
        ):
            digest_value(file)
        with pytest.raises(FingerprintError, match=r"cannot fingerprint 'socket\.socket' object"):
            digest_value(opened)


def test_refuses_zones_without_a_name() -> None:
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    data = b"TZif\0" + bytes(15) + counts + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"
    with pytest.raises(FingerprintError, match="has no key"):
        digest_value(zoneinfo.ZoneInfo.from_file(io.BytesIO(data)))


lock: Any = threading.Lock()

PATHS: list[tuple[object, str]] = [
    (lock, ""),
    ([1, lock], "[1]"),
    ((lock,), "[0]"),
    ({"a": lock}, "['a']"),
    ({("k", 1): [lock]}, "[('k', 1)][0]"),
    (Plain(pool=[{"a": lock}]), ".pool[0]['a']"),
    (Slotted(a=lock), ".a"),
    (Settings(names=[lock]), ".names[0]"),
    (Frozen(lock), ".x"),
    (FrozenSlots(lock), ".x"),
    (Point(1, lock), ".y"),
    (MyList([1, lock]), "[1]"),
    (MyDict({"a": lock}), "['a']"),
    (collections.OrderedDict(a=lock), "[0][1]"),
    (functools.partial(a_function, lock), ".args[0]"),
    (functools.partial(a_function, x=lock), ".keywords['x']"),
    (make_local(lock), "().value"),
    (make_local(1, default=lock), ".__defaults__[0]"),
    (Plain(a=lock).__eq__, ".__self__.a"),
    (Keyed(lock), ".__memento_key__()"),
    (ValueError("a", lock), "(argument 1)"),
]


@pytest.mark.parametrize(("value", "path"), PATHS, ids=[path for _, path in PATHS])
def test_says_where(value: object, path: str) -> None:
    with pytest.raises(FingerprintError) as caught:
        digest_value(value)
    assert caught.value.at == path
    assert caught.value.reason == "cannot fingerprint '_thread.lock' object"


def test_says_where_in_a_set() -> None:
    generator = make_generator()
    with pytest.raises(FingerprintError) as caught:
        digest_value({"a": {generator}})
    assert caught.value.at.startswith("['a']{<generator ob")
    with pytest.raises(FingerprintError) as caught:
        digest_value({(generator,): 1})
    assert caught.value.at.endswith(">,)][0]")


def test_keeps_what_the_user_raised_as_the_cause() -> None:
    error = ValueError("boom")
    with pytest.raises(FingerprintError) as caught:
        digest_value([[Refusing(error)]])
    assert caught.value.__cause__ is error


def test_refuses_what_is_nested_too_deeply() -> None:
    deep: list[object] = []
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    with pytest.raises(
        FingerprintError, match="cannot fingerprint 'list' object: nested too deeply"
    ):
        digest_value(deep)


def test_takes_what_is_nested_a_hundred_deep() -> None:
    deep: Any = None
    for _ in range(100):
        deep = Plain(inner=[deep])
    assert digest_value(deep) == digest_value(copy.deepcopy(deep))


def test_a_stand_in_replaces_what_it_answers_for() -> None:
    def by_name(value: object) -> object | None:
        return vars(value)["name"] if isinstance(value, Plain) else None

    one, other = Plain(name="a", pool=lock), Plain(name="a", pool=1)
    digest = functools.partial(digest_value, stand_in=by_name)
    assert digest(one) == digest(other)
    assert digest([one]) == digest([other])
    assert len({digest(one), digest("a"), digest(Other(name="a")), digest(Plain(name="b"))}) == 4
    assert digest(Settings()) == digest_value(Settings())


def test_a_stand_in_is_not_asked_for_scalars_and_plain_containers() -> None:
    asked: list[object] = []
    value = {"a": [1, 2.0, None, "x", b"y", True, (1j,), {3}, frozenset({4})], "b": Colour.RED}
    digest_value(value, stand_in=asked.append)
    assert asked == [Colour.RED, Colour]


def test_a_stand_in_that_answers_with_the_value_itself_declines() -> None:
    same = functools.partial(digest_value, stand_in=lambda value: value)
    assert same(Plain(a=1)) == digest_value(Plain(a=1)) != same(Plain(a=2))


def test_a_stand_in_goes_before_the_key_of_a_class() -> None:
    digest = digest_value(Keyed("a"), stand_in=lambda value: "b" if type(value) is Keyed else None)
    assert digest not in (digest_value(Keyed("a")), digest_value(Keyed("b")))


def test_the_key_of_a_class_counts_for_its_objects() -> None:
    one, other = versioned("V", 1), versioned("V", 2)
    assert digest_value(one()) != digest_value(other())
    assert digest_value(one()) == digest_value(versioned("V", 1)())


def test_a_key_may_be_a_property() -> None:
    first, second = (
        versioned("P", property(lambda self: 1)),
        versioned("P", property(lambda self: 2)),
    )
    assert digest_value(first()) != digest_value(second())
    assert digest_value(first) == digest_value(second)


@given(st.dictionaries(st.text(max_size=5), values.map(digest_value), max_size=4))
@quick
def test_named_digests_are_combined_in_any_order(digests: dict[str, Digest]) -> None:
    assert digest_named(digests) == digest_named(dict(reversed(digests.items())))


def test_named_digests_count_with_their_names() -> None:
    one, other = digest_value(1), digest_value(2)
    combined = [
        {},
        {"a": one},
        {"b": one},
        {"a": other},
        {"a": one, "b": other},
        {"a": other, "b": one},
    ]
    assert len({digest_named(each) for each in combined}) == len(combined)
