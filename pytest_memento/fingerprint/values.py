"""Digest values by what they are: equal in every process, different for every difference.

A digest is a tree of hashes. A leaf is hashed with its type; a container is hashed from the
digests of its parts, sorted where their order means nothing. Anything else is first described as
a tag and named parts, which are values again::

    {"C": 1.0, "model": SVC()}  ->  dict( "C"     float 1.0
                                          "model" object( class SVC, ".kernel" str "rbf", ...))
"""

from __future__ import annotations

import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import math
import pathlib
import re
import reprlib
import struct
import sys
import types
import typing
import uuid
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from operator import itemgetter
from typing import Any, TypeAlias, cast

from pytest_memento.errors import FingerprintError
from pytest_memento.fingerprint.arrays import Parts, describe_data
from pytest_memento.fingerprint.functions import Digest, digest_function
from pytest_memento.fingerprint.names import NO_MEMBERS, full_name, is_found, module_name

StandIn: TypeAlias = Callable[[object], "object | None"]
"""A user's hook: return something with a fingerprint to use for a value, or None to decline."""

_ESTIMATOR = ("sklearn.base", "BaseEstimator")
_UFUNC = ("numpy", "ufunc")
_VECTORIZE = ("numpy", "vectorize")
_WITH_CODE = (type, types.FunctionType)
_SpecialForm = type(typing.ClassVar)
_new_object: object = vars(copyreg)["__newobj__"]  # builds nearly every object

# Values that refer to each other may have to be walked once per way into them; see `_Walk`.
_MAX_REVISITS = 100_000


def digest_value(
    value: object, *, stand_in: StandIn | None = None, met: list[object] | None = None
) -> Digest:
    """Return the canonical digest of *value*.

    It is the same for equal values in every process, whatever the order of a dict or set, and
    differs where the type differs. A class may define ``__memento_key__``: as a method, it returns
    what counts of an object; as a class method or attribute, what counts of the class itself.

    >>> digest_value({"a": 1, "b": 2}) == digest_value({"b": 2, "a": 1})
    True
    >>> digest_value(1) == digest_value(1.0)
    False

    :param stand_in: asked first for every value that is no scalar and no plain container.
    :param met: takes the functions and classes in *value*, and the classes of the objects in it:
        their names count for the digest, and their code for whoever uses the value. An object with
        ``__memento_code__`` says itself what that is, as a manifest.
    :raises FingerprintError: if *value* or a part of it has no stable digest.
    """
    try:
        return Digest(_Walk(stand_in, met).digest(value).hex())
    except RecursionError:
        name = _type_name(value)
        raise FingerprintError(f"cannot fingerprint {name!r} object: nested too deeply") from None


def digest_if_any(value: object) -> Digest | None:
    """Return the digest of a value, ``None`` if it has none that is stable."""
    try:
        return digest_value(value)
    except FingerprintError:
        return None


def digest_named(digests: Mapping[str, Digest]) -> Digest:
    """Return one digest for several, each under its name, in any order."""
    pairs = sorted((_text(name), bytes.fromhex(digest)) for name, digest in digests.items())
    return Digest(_node("named", (part for pair in pairs for part in pair)).hex())


def parts_of(value: object) -> Parts | None:
    """Return what the digest of *value* is made from: parts that are values again.

    A plain scalar or container has none: it is all there is to it.

    :raises FingerprintError: if *value* has no stable digest.
    """
    if type(value) is Parts:
        return value
    if type(value) in _LEAVES or type(value) in _CONTAINERS:
        return None
    return _Walk(None, None).describe(value)


# ---------------------------------------------------------------------------- hashes of the tree


def _leaf(tag: bytes, content: bytes | memoryview = b"") -> bytes:
    if len(content) < 1024:
        return blake2b(tag + b":" + content, digest_size=16).digest()
    hashed = blake2b(tag + b":", digest_size=16)  # without a copy of what may be large
    hashed.update(content)
    return hashed.digest()


def _node(tag: str, parts: Iterable[bytes]) -> bytes:
    """Hash digests, all of one length, under a tag that no leaf has."""
    return blake2b(b"(%b:%b" % (tag.encode(), b"".join(parts)), digest_size=16).digest()


def _integer(value: int) -> bytes:
    # not decimal: that is quadratic, and an error for more than 4300 digits
    length = value.bit_length() // 8 + 1
    return _leaf(b"int", value.to_bytes(length, "little", signed=True))


def _float(value: float) -> bytes:
    return _leaf(b"float", _pack_float(value))


def _pack_float(value: float) -> bytes:
    return struct.pack("<d", math.nan if math.isnan(value) else value)


def _complex(value: complex) -> bytes:
    return _leaf(b"complex", _pack_float(value.real) + _pack_float(value.imag))


def _text(value: str) -> bytes:
    return _leaf(b"str", value.encode("utf-8", "surrogatepass"))


def _memory(value: memoryview) -> bytes:
    content = value.cast("B") if value.c_contiguous and value.nbytes else value.tobytes()
    return _leaf(b"memoryview %b %b" % (value.format.encode(), repr(value.shape).encode()), content)


_LEAVES: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: _leaf(b"None"),
    type(Ellipsis): lambda _: _leaf(b"Ellipsis"),
    type(NotImplemented): lambda _: _leaf(b"NotImplemented"),
    bool: lambda value: _leaf(b"bool", b"1" if value else b"0"),
    int: _integer,
    float: _float,
    complex: _complex,
    str: _text,
    bytes: lambda value: _leaf(b"bytes", value),
    bytearray: lambda value: _leaf(b"bytearray", bytes(value)),
    memoryview: _memory,
}


# ------------------------------------------------------------------------------ the walk


class _Walk:
    """One walk over a value and all its parts.

    What is met again costs nothing, so shared parts are walked once. A reference back to a value
    whose digest is still being made counts as the number of steps up to it. Values on a cycle are
    the strongly connected components of Tarjan's algorithm (SIAM J. Comput. 1972): inside one, a
    digest depends on where the cycle was entered, so all but that of the entry are forgotten when
    the component is done, and that one when the component is entered elsewhere.
    """

    def __init__(self, stand_in: StandIn | None, met: list[object] | None) -> None:
        self._stand_in = stand_in
        self._met = met
        self._alive: list[object] = []  # nothing met may go, or its id would be used again
        self._digests: dict[int, bytes] = {}
        self._depths: dict[int, int] = {}  # of the values that this one is inside of
        self._order: dict[int, int] = {}  # of the visits to values that may be on an open cycle
        self._pending: list[int] = []  # the same values, in that order
        self._entries: dict[int, int] = {}  # where the component of a value was last entered
        self._earliest = 0  # the earliest visit that was referred back to
        self._revisits = 0

    def digest(self, value: object) -> bytes:
        leaf = _LEAVES.get(type(value))
        if leaf is not None:
            return leaf(value)
        if type(value) is Parts:
            return self._parts(value)
        key = id(value)
        if key in self._digests or key in self._depths:
            return self._met_again(key)
        if self._entries.get(key, key) not in self._order:
            self._digests.pop(self._entries.get(key, key), None)
        visit, start = len(self._alive), len(self._pending)
        outer, self._earliest = self._earliest, visit
        self._alive.append(value)
        self._pending.append(key)
        self._order[key] = visit
        self._depths[key] = len(self._depths)
        container = _CONTAINERS.get(type(value))
        digest = container(self, value) if container else self._parts(self.describe(value))
        self._digests[key] = digest
        del self._depths[key]
        if self._earliest == visit:
            self._close_component(start)
            self._digests[key] = digest
        self._earliest = min(outer, self._earliest)
        return digest

    def _met_again(self, key: int) -> bytes:
        self._earliest = min(self._earliest, self._order.get(key, self._earliest))
        if key in self._depths:
            return _leaf(b"cycle", b"%d" % (len(self._depths) - self._depths[key]))
        return self._digests[key]

    def _close_component(self, start: int) -> None:
        if start + 1 < len(self._pending):
            self._entries |= dict.fromkeys(self._pending[start:], self._pending[start])
        self._forget(start)

    def _forget(self, start: int) -> None:
        self._revisits += len(self._pending) - start - 1
        for key in self._pending[start:]:
            del self._order[key], self._digests[key]
        del self._pending[start:]
        if self._revisits > _MAX_REVISITS:
            reason = "cannot fingerprint objects that refer to each other in so many ways"
            raise FingerprintError(f"{reason}: give their class a __memento_key__")

    def _apart(self, value: object) -> bytes:
        """Digest a value whose siblings have no order, so that theirs cannot show in its digest."""
        if type(value) in _LEAVES:
            return self.digest(value)
        start = len(self._pending)
        digest = self.digest(value)
        if start < len(self._pending):
            self._forget(start)
        return digest

    def _parts(self, parts: Parts) -> bytes:
        digests: list[bytes] = []
        for name, part in sorted(parts.named.items(), key=itemgetter(0)):
            try:
                digests += (_text(name), self.digest(part))
            except FingerprintError as error:
                raise error.inside(name) from error.__cause__
        return _node(parts.tag, digests)

    def _sequence(self, values: list[object] | tuple[object, ...]) -> bytes:
        digests = []
        for index, each in enumerate(values):
            try:
                digests.append(self.digest(each))
            except FingerprintError as error:
                raise error.inside(f"[{index}]") from error.__cause__
        return _node(type(values).__name__, digests)

    def _set(self, values: Iterable[object]) -> bytes:
        digests = []
        for each in values:
            try:
                digests.append(self._apart(each))
            except FingerprintError as error:
                raise error.inside(f"{{{reprlib.repr(each)}}}") from error.__cause__
        return _node(type(values).__name__, sorted(digests))

    def _dict(self, values: dict[object, object]) -> bytes:
        pairs = []
        for name, key, value in sorted(self._keys(values), key=itemgetter(0)):
            try:
                pairs.append(name + self.digest(value))
            except FingerprintError as error:
                raise error.inside(f"[{reprlib.repr(key)}]") from error.__cause__
        return _node("dict", sorted(pairs))

    def _keys(self, values: dict[object, object]) -> Iterator[tuple[bytes, object, object]]:
        for key, value in values.items():
            try:
                yield self._apart(key), key, value
            except FingerprintError as error:
                raise error.inside(f"[{reprlib.repr(key)}]") from error.__cause__

    def describe(self, value: object) -> Parts:
        """Return the parts of a value that is no plain container."""
        if self._met is not None:
            is_met = isinstance(value, _WITH_CODE) or hasattr(type(value), "__memento_code__")
            self._met.append(value if is_met else type(value))
            if _wrapped(value) is not None:
                self._met.append(value)
        other = self._stand_in(value) if self._stand_in else None
        if other is not None and other is not value:
            return Parts("stand-in", {"__class__": _named("class", type(value)), "": other})
        if hasattr(type(value), "__memento_key__") or issubclass(type(value), type):
            described = _describe_by_key(value)
            if described is not None:
                return described
        describe = _DESCRIPTIONS.get(type(value))
        return describe(value) if describe else _describe_by_kind(value)


_CONTAINERS: dict[type, Callable[[_Walk, Any], bytes]] = {
    list: _Walk._sequence,
    tuple: _Walk._sequence,
    dict: _Walk._dict,
    set: _Walk._set,
    frozenset: _Walk._set,
}


# ------------------------------------------------------------------- what has a name, what a key


def _type_name(value: object) -> str:
    cls, module = type(value), module_name(type(value))
    return cls.__qualname__ if module in (None, "builtins") else f"{module}.{cls.__name__}"


def _named(tag: str, value: Any) -> Parts:
    """Describe what is found under its name in a module."""
    return Parts(tag, {"__module__": module_name(value), "__qualname__": full_name(value)})


def _refused(value: object, cause: str = "") -> FingerprintError:
    reason = f"cannot fingerprint {_type_name(value)!r} object"
    return FingerprintError(f"{reason}: {cause}" if cause else reason)


def _wrapped(value: object) -> object:
    """Return the function that a callable was made around, as by ``functools.cache``."""
    own: object = getattr(value, "__dict__", None) if callable(value) else None
    return own.get("__wrapped__") if isinstance(own, dict) else None


def _describe_by_key(value: Any) -> Parts | None:
    """Describe an object or a class that says itself what counts of it, by `__memento_key__`."""
    if _has_object_key(type(value)):
        owner = type(value)
    elif isinstance(value, type) and hasattr(value, "__memento_key__"):
        if _has_object_key(value):
            return None
        owner = value
    else:
        return None
    try:
        found = value.__memento_key__
        key = found() if callable(found) else found
    except RecursionError:
        raise
    except Exception as error:
        raise _refused(value, f"__memento_key__ raised {_said(error)}") from error
    if key is value:
        raise _refused(value, "__memento_key__ returned the object itself")
    tag = "class key" if owner is value else "key"
    return Parts(tag, {"__class__": _named("class", owner), ".__memento_key__()": key})


def _has_object_key(cls: type) -> bool:
    """Tell whether *cls* defines a key for its objects, rather than one for itself."""
    found = next(
        (vars(each)["__memento_key__"] for each in cls.__mro__ if "__memento_key__" in vars(each)),
        None,
    )
    if isinstance(found, classmethod | staticmethod | type):
        return False
    return callable(found) or hasattr(type(found), "__get__")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


# ------------------------------------------------------------------------- what is built in


def _describe_function(value: types.FunctionType) -> Parts:
    """Describe a function by its name; one that is not found under it by what it does."""
    if is_found(value):
        return _named("function", value)
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    inside = {
        ".__code__": digest_function(value),
        ".__defaults__": value.__defaults__,
        ".__kwdefaults__": value.__kwdefaults__,
        "()": Parts("closure", {f".{name}": cell for name, cell in cells}),
    }
    return Parts("local function", {**_named("", value).named, **inside})


def _describe_cell(value: types.CellType) -> Parts:
    try:
        return Parts("cell", {"": value.cell_contents})
    except ValueError:  # a variable that is assigned later, or never
        return Parts("cell", {})


def _describe_builtin(value: types.BuiltinFunctionType) -> Parts:
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return _named("builtin", value)
    return Parts("builtin method", {".__self__": owner, ".__name__": value.__name__})


def _describe_descriptor(value: Any) -> Parts:
    return Parts("descriptor", {".__objclass__": value.__objclass__, ".__name__": value.__name__})


def _describe_method_wrapper(value: types.MethodWrapperType) -> Parts:
    return Parts("builtin method", {".__self__": value.__self__, ".__name__": value.__name__})


def _describe_partial(value: functools.partial[object]) -> Parts:
    named = {".func": value.func, ".args": value.args, ".keywords": value.keywords}
    return Parts("partial", {**named, ".__dict__": vars(value)})


def _describe_path(value: pathlib.PurePath) -> Parts:
    family = "windows" if isinstance(value, pathlib.PureWindowsPath) else "posix"
    return Parts("path", {"family": family, "": str(value)})


def _describe_moment(value: datetime.datetime | datetime.time) -> Parts:
    named = {"": value.replace(tzinfo=None).isoformat(), ".fold": value.fold}
    return Parts(type(value).__name__, {**named, ".tzinfo": value.tzinfo})


def _describe_timezone(value: datetime.timezone) -> Parts:
    return Parts("timezone", {".utcoffset": value.utcoffset(None), ".tzname": value.tzname(None)})


def _describe_zone(value: zoneinfo.ZoneInfo) -> Parts:
    if value.key is None:
        raise _refused(value, "it was read from a file and has no key")
    return Parts("zoneinfo", {".key": value.key})


def _describe_range(value: range) -> Parts:
    """Describe a range by its elements: `range(0, 3, 2) == range(0, 4, 2)`."""
    bounds = (value[0], value[-1]) if value else ()
    step = value.step if bounds and bounds[0] != bounds[1] else None
    return Parts("range", {"": bounds, ".step": step})


def _describe_alias(value: object) -> Parts:
    """Describe `list[int]`, `int | None` and other types with arguments."""
    origin, arguments = typing.get_origin(value), typing.get_args(value)
    if origin in (typing.Union, types.UnionType):
        return Parts("union", {"": frozenset(arguments)})
    return Parts("alias", {".__origin__": origin, ".__args__": arguments})


def _describe_special_form(value: Any) -> Parts:
    # as a class, which typing.Any is since Python 3.11
    return Parts("class", {"__module__": "typing", "__qualname__": value._name})


_DESCRIPTIONS: dict[type, Callable[[Any], Parts]] = {
    property: lambda value: Parts(
        "property", {".fget": value.fget, ".fset": value.fset, ".fdel": value.fdel}
    ),
    staticmethod: lambda value: Parts("staticmethod", {".__func__": value.__func__}),
    classmethod: lambda value: Parts("classmethod", {".__func__": value.__func__}),
    types.FunctionType: _describe_function,
    types.CellType: _describe_cell,
    types.BuiltinFunctionType: _describe_builtin,
    types.MethodDescriptorType: _describe_descriptor,
    types.ClassMethodDescriptorType: _describe_descriptor,
    types.WrapperDescriptorType: _describe_descriptor,
    types.GetSetDescriptorType: _describe_descriptor,
    types.MemberDescriptorType: _describe_descriptor,
    types.MethodWrapperType: _describe_method_wrapper,
    types.MethodType: lambda value: Parts(
        "method", {".__self__": value.__self__, ".__func__": value.__func__}
    ),
    types.ModuleType: lambda value: Parts("module", {"": value.__name__}),
    types.MappingProxyType: lambda value: Parts("mappingproxy", {"": dict(value)}),
    functools.partial: _describe_partial,
    pathlib.PosixPath: _describe_path,
    pathlib.WindowsPath: _describe_path,
    pathlib.PurePosixPath: _describe_path,
    pathlib.PureWindowsPath: _describe_path,
    datetime.date: lambda value: Parts("date", {"": value.isoformat()}),
    datetime.datetime: _describe_moment,
    datetime.time: _describe_moment,
    datetime.timedelta: lambda value: Parts(
        "timedelta", {"": (value.days, value.seconds, value.microseconds)}
    ),
    datetime.timezone: _describe_timezone,
    zoneinfo.ZoneInfo: _describe_zone,
    decimal.Decimal: lambda value: Parts("decimal", {"": str(value)}),
    fractions.Fraction: lambda value: Parts("fraction", {"": (value.numerator, value.denominator)}),
    uuid.UUID: lambda value: Parts("uuid", {"": value.int}),
    range: _describe_range,
    slice: lambda value: Parts("slice", {"": (value.start, value.stop, value.step)}),
    re.Pattern: lambda value: Parts("pattern", {"": value.pattern, ".flags": value.flags}),
    typing.ForwardRef: lambda value: Parts("forward", {"": value.__forward_arg__}),
}


# ----------------------------------------------------------------------------- everything else


def _describe_by_kind(value: Any) -> Parts:
    """Describe a value whose exact type is not known by what it inherits from."""
    cls = type(value)
    if issubclass(cls, type):
        return _describe_class(value)
    if issubclass(cls, enum.Enum):
        return _describe_member(value)
    if issubclass(cls, types.ModuleType):
        return Parts("module", {"": value.__name__})
    if issubclass(cls, _SpecialForm):
        return _describe_special_form(value)
    if cls.__module__ in ("types", "typing", "collections.abc") and typing.get_origin(value):
        return _describe_alias(value)
    if cls.__module__ in ("builtins", "itertools") and issubclass(cls, Iterator):
        raise _refused(value, "it can be read only once")
    return _describe_data(value) or _describe_object(value)


def _describe_class(value: type) -> Parts:
    """Describe a class by its name; one that is not found under it by what is in it."""
    named = _named("class", value)
    if is_found(value):
        return named
    inside = {
        f".{name}": member
        for name, member in vars(value).items()
        if name not in NO_MEMBERS and not _is_generated(member)
    }
    annotations: object = vars(value).get("__annotations__", {})
    more = {"bases": value.__bases__, "annotations": annotations, "fields": made_anew(value)}
    return Parts("local class", {**named.named, **inside, **more})


def _is_generated(member: object) -> bool:
    """Tell whether a method has no source: those of dataclasses say what the fields say."""
    return isinstance(member, types.FunctionType) and member.__code__.co_filename.startswith("<")


def made_anew(value: type) -> list[tuple[str, object]]:
    """Return the fields of a dataclass that are made anew for each object."""
    found = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    made = [(each.name, each.default_factory) for each in found]
    return [(name, make) for name, make in made if make is not dataclasses.MISSING]


def _describe_member(value: enum.Enum) -> Parts:
    # a combination of flags has a name on some versions of Python only
    known = value._value_ if isinstance(value, enum.Flag) else value._name_
    return Parts("enum", {".__class__": type(value), "": known})


def _describe_data(value: object) -> Parts | None:
    try:
        return describe_data(value)
    except Exception as error:
        raise _refused(value, f"reading it raised {_said(error)}") from error


def _describe_object(value: Any) -> Parts:
    """Describe an object by what :mod:`pickle` and :mod:`copy` would build it again from."""
    reduced = _reduce(value)
    if isinstance(reduced, str):  # the name of a global
        if _is_a(type(value), _UFUNC) and not _is_anywhere(value, reduced):
            cause = "it does not tell which function it was made from, as numpy.vectorize does"
            raise _refused(value, cause)
        module = getattr(value, "__module__", None)
        module = module_name(value) if module == "__main__" else module
        named = {"__module__": module, "__qualname__": reduced}
        inner = _wrapped(value)
        is_apart = isinstance(inner, _WITH_CODE) and not is_found(inner)
        named |= {".__wrapped__": inner} if "<" in reduced or is_apart else {}
        return Parts("global", {".__class__": type(value), **named})
    build, arguments, state, items, pairs = (tuple(reduced) + (None,) * 3)[:5]
    named = {"()": build, **_arguments(value, build, arguments), **_state(type(value), state)}
    named |= {f"[{place}]": part for place, part in enumerate(items or ())}
    if pairs is not None:
        named[""] = list(pairs) if isinstance(value, OrderedDict) else dict(pairs)
    return Parts("object", named)


def _reduce(value: Any) -> Any:
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        return reduce(value) if reduce else value.__reduce_ex__(4)
    except RecursionError:
        raise
    except Exception as error:
        unpicklable = isinstance(error, TypeError) and str(error).startswith("cannot pickle")
        raise _refused(value, "" if unpicklable else f"pickling raised {_said(error)}") from error


def _arguments(value: Any, build: object, arguments: Iterable[object]) -> dict[str, object]:
    """Name the arguments that an object is built from."""
    cls, reduce = type(value), cast("object", type(value).__reduce__)
    if reduce in (set.__reduce__, frozenset.__reduce__):  # its elements, in any order
        return {".__class__": cls, "": frozenset(value)}
    if build is _new_object and issubclass(cls, tuple) and hasattr(cls, "_fields"):
        fields = zip(cls._fields, value, strict=True)
        return {".__class__": cls, **{f".{name}": part for name, part in fields}}
    return {f"(argument {place})": part for place, part in enumerate(arguments)}


def _state(cls: type, state: Any) -> dict[str, object]:
    """Name the attributes of an object, where its state is that."""
    if state is None:
        return {}
    if isinstance(state, tuple) and len(state) == 2 and not hasattr(cls, "__setstate__"):
        state = {**(state[0] or {}), **(state[1] or {})}  # the attributes, and those in slots
    elif isinstance(state, list) and dataclasses.is_dataclass(cls) and _lists_fields(cls):
        state = {f.name: part for f, part in zip(dataclasses.fields(cls), state, strict=True)}
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        return {".__getstate__()": state}
    # Which fields of a pydantic model were given does not tell equal ones apart.
    skipped = {"__pydantic_fields_set__", "_sklearn_version" if _is_a(cls, _ESTIMATOR) else ""}
    if _is_a(cls, _VECTORIZE) and state.get("_ufunc"):  # which is made when it is first called
        state = {**state, "_ufunc": {}}
    return {f".{name}": part for name, part in state.items() if name not in skipped}


def _lists_fields(cls: type) -> bool:
    """Tell whether the state of a dataclass, frozen and with slots, is the list of its fields."""
    getstate = getattr(cls, "__getstate__", None)
    return getattr(getstate, "__module__", None) == dataclasses.__name__


def _is_a(cls: type, name: tuple[str, str]) -> bool:
    """Tell whether *cls* is a class of a library, or made from it."""
    return any((each.__module__, each.__name__) == name for each in cls.__mro__)


def _is_anywhere(value: object, name: str) -> bool:
    """Tell whether a loaded module has a value under a name."""
    spaces = (getattr(each, "__dict__", None) for each in [*sys.modules.values()])
    return any(space.get(name) is value for space in spaces if isinstance(space, dict))
