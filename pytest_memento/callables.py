"""What a callable is as an experiment: its name, its source, how it is called.

exp_digits.experiment     exp_digits.py::experiment     as pytest finds it
partial(experiment, 3)    exp_digits.py::partial(experiment)   and the 3 counts
Trainer(0.1).run          exp_digits.py::Trainer().run         and the object counts
lambda config: ...        exp_digits.py::<lambda>              and its closure counts
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from pytest_memento.config import copied, nearest
from pytest_memento.display import notebook_shell
from pytest_memento.errors import MementoError
from pytest_memento.fingerprint import import_name, is_own

_CONTRACT = ("context", "config")
"""What a callable gets that names its arguments otherwise."""
_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BUILTIN = (
    *(types.BuiltinFunctionType, types.MethodDescriptorType, types.ClassMethodDescriptorType),
    *(types.WrapperDescriptorType, types.MethodWrapperType),
)
_Cache = functools._lru_cache_wrapper
_VARIABLE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Subject:
    """A callable that is run as an experiment.

    :param name: of the function in the name of the experiment.
    :param place: the file it is from, or words in angle brackets.
    :param source: the file that says its code, if there is one.
    :param module: the name under which pytest would import that file.
    :param path: where it is found in the file: its name, after that of its class; nothing if the
        name stands for something else by now.
    :param function: takes its arguments by name, as pytest gives them.
    :param code: the function or class that its code starts from.
    :param also: functions and classes that count, too.
    :param values: what counts by its value, such as the arguments of a partial.
    """

    name: str
    place: str
    source: Path | None
    module: str
    path: tuple[str, ...]
    function: Callable[..., Any]
    code: Any
    also: tuple[Any, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)


def subject_of(experiment: Callable[..., Any], names: Collection[str]) -> Subject:
    """Look at a callable.

    :param names: of all parameters and settings.
    :raises MementoError: it cannot be called, or not as an experiment.
    """
    if not callable(experiment):
        raise MementoError(f"Memento takes a function or another callable, not {experiment!r}")
    subject = _taken_apart(experiment)
    return replace(subject, function=_called_by_name(experiment, names))


# -- what it is ------------------------------------------------------------------------------------


def _taken_apart(experiment: Any) -> Subject:
    if isinstance(experiment, functools.partial):
        inner = _taken_apart(experiment.func)
        arguments = {"arguments of the partial": (experiment.args, experiment.keywords)}
        return replace(inner, name=f"partial({inner.name})", values={**inner.values, **arguments})
    if isinstance(experiment, types.MethodType):
        return _method(experiment)
    if isinstance(experiment, (types.FunctionType, type)):
        return _named(experiment, experiment)
    wrapped = getattr(experiment, "__wrapped__", None)
    if isinstance(wrapped, types.FunctionType):
        return _around(experiment, wrapped)
    if isinstance(experiment, _BUILTIN):
        return _builtin(experiment)
    kind = _named(type(experiment), type(experiment))
    return replace(kind, name=f"{kind.name}()", values={"the object": experiment})


def _builtin(experiment: Any) -> Subject:
    owner = getattr(experiment, "__objclass__", getattr(experiment, "__self__", None))
    is_bound = owner is not None and not isinstance(owner, types.ModuleType)
    place = getattr(experiment, "__module__", None) or "builtins"
    values = {"the object": experiment} if is_bound else {}
    name, code = experiment.__qualname__, type(experiment)
    return Subject(name, f"<{place}>", None, place, (), experiment, code, values=values)


def _around(experiment: Any, inner: types.FunctionType) -> Subject:
    """Describe an object that was made around a function: it has the name of that."""
    subject = _named(inner, experiment)
    if isinstance(experiment, _Cache) or subject.path:
        return subject
    return replace(subject, values={"the object": experiment})


def _method(method: types.MethodType) -> Subject:
    owner, name = method.__self__, method.__func__.__name__
    if isinstance(owner, type):
        cls = _named(owner, owner)
        return replace(cls, name=f"{cls.name}.{name}")
    cls, values = _named(type(owner), type(owner)), {"the object": owner}
    if getattr(type(owner), name, None) is not method.__func__:  # of another one, put on it
        function = _named(method.__func__, method.__func__)
        return replace(function, name=f"{cls.name}().{name}", values=values)
    return replace(cls, name=f"{cls.name}().{name}", values=values)


def _named(code: Any, found: object) -> Subject:
    """Describe a function or class.

    :param found: what its name stands for, if that is still so: itself, or what was made of it.
    """
    path = tuple(code.__qualname__.split("."))
    source = _source(code)
    is_found = "<locals>" not in path and _stands_for(code, path, found)
    is_other = isinstance(code, type) and (not is_found or "<" in code.__qualname__)
    return Subject(
        name=code.__qualname__,
        place=str(source) if source else place_of(code),
        source=source,
        module=import_name(source) if source else str(code.__module__),
        path=path if is_found and source else (),
        function=code,
        code=code,
        # What a class takes from a function around it, or what one says that lost its name.
        values={"the class": code} if is_other else {},
    )


def _source(code: Any) -> Path | None:
    """Return the user's file in which a function or class stands."""
    module = sys.modules.get(str(code.__module__))
    file = getattr(module, "__file__", None)
    if isinstance(code, types.FunctionType):
        file = inspect.unwrap(code).__code__.co_filename
    if not isinstance(file, str) or not os.path.isfile(file):
        return None
    path = Path(os.path.abspath(file))
    return path if is_own(path) else None


def _stands_for(code: Any, path: Sequence[str], found: object) -> bool:
    value: Any = sys.modules.get(str(code.__module__))
    for name in path:
        value = getattr(value, name, None)
    # What a cache is made around is the experiment itself.
    return value is found or (value is code and isinstance(found, _Cache))


def place_of(code: Any) -> str:
    """Say where a function or class is from that stands in none of the user's files."""
    module = sys.modules.get(str(code.__module__))
    file = getattr(module, "__file__", None)
    # That of what is read from standard input is called <stdin>.
    if isinstance(file, str) and os.path.isfile(file) and not is_own(Path(file)):
        return f"<{code.__module__}>"
    notebook = _notebook()
    if notebook:
        return notebook
    file = getattr(getattr(code, "__code__", None), "co_filename", "")
    return "<string>" if file == "<string>" else "<stdin>"


def _notebook() -> str:
    """Return the notebook that is running, if it is one: its file where that is known."""
    shell = notebook_shell()
    if shell is None:
        return ""
    # Visual Studio Code, Jupyter Server.
    for file in (shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
        if isinstance(file, str) and file.endswith(".ipynb") and os.path.isfile(file):
            return os.path.abspath(file)
    return "<notebook>"


# -- how it is called ------------------------------------------------------------------------------


def _called_by_name(experiment: Any, names: Collection[str]) -> Callable[..., Any]:
    """Return a function that takes what pytest gives, by name."""
    if inspect.isgeneratorfunction(experiment) or inspect.isasyncgenfunction(experiment):
        raise MementoError(
            f"{experiment.__qualname__} is a generator function: its result cannot be stored;"
            " return a list instead of yielding"
        )
    try:
        arguments = list(inspect.signature(experiment).parameters.values())
    except (ValueError, TypeError):  # of a builtin
        return _positional(experiment)
    if _is_positional(arguments, names):
        return _positional(experiment)
    by_place = [each.name for each in arguments if each.kind is Parameter.POSITIONAL_ONLY]
    if isinstance(experiment, types.FunctionType) and not by_place:
        return experiment
    kept = [each for each in arguments if each.kind not in _VARIABLE]
    return _with_signature(experiment, kept, by_place)


def _is_positional(arguments: Sequence[Parameter], names: Collection[str]) -> bool:
    """Tell whether it is called as by Memento: first the context, then the configuration."""
    needed = [a for a in arguments if a.default is a.empty and a.kind not in _VARIABLE]
    if not needed:
        return not arguments[1:] and any(a.kind is a.VAR_POSITIONAL for a in arguments)
    if len(needed) != 2 or any(each.kind not in _BY_PLACE for each in needed):
        return False
    own = [(each.name, meant) for each, meant in zip(needed, _CONTRACT, strict=True)]
    strange = [name for name, meant in own if name != meant]
    known = {*names, *_CONTRACT}
    return bool(strange) and not any(n in known or nearest(n, names) for n in strange)


def _positional(experiment: Callable[..., Any]) -> Callable[..., Any]:
    arguments = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in _CONTRACT]
    return _with_signature(experiment, arguments, _CONTRACT)


def _with_signature(
    experiment: Callable[..., Any], arguments: Sequence[Parameter], by_place: Sequence[str]
) -> Callable[..., Any]:
    def call(**given: Any) -> Any:
        __tracebackhide__ = True
        first = [given.pop(name) for name in by_place if name in given]
        # What one experiment does to the object of a method must not reach the next one.
        return copied(experiment)(*first, **given)

    names = [each.replace(kind=Parameter.POSITIONAL_OR_KEYWORD) for each in arguments]
    ordered = sorted(names, key=lambda each: each.default is not each.empty)
    call.__signature__ = Signature(ordered)  # type: ignore[attr-defined]
    return call
