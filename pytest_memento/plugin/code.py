"""What counts as the code of an experiment: its function, its fixtures, marks, packages, files."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_memento import packages
from pytest_memento.errors import FileError
from pytest_memento.experiment import Describe, Manifest
from pytest_memento.files import find, name_of
from pytest_memento.fingerprint import Code, Codebase
from pytest_memento.plugin import fixtures, private
from pytest_memento.plugin.files import is_experiment_name
from pytest_memento.plugin.given import Given, given_to
from pytest_memento.plugin.options import Options

if TYPE_CHECKING:
    from pytest_memento.callables import Subject

_AROUND_MODULE = ("setUpModule", "setup_module", "tearDownModule", "teardown_module")
_AROUND_FUNCTION = ("setup_function", "teardown_function")
_OURS = {
    "config": "b66319aa97521d000759d7d6858fd2ef",
    "context": "0174e75311149e8191277f27c36d51ff",
}
"""What our own fixtures are in a manifest. They say nothing of the experiment; but they have
counted from the first release on, and results of old are to stay valid."""


class Codes:
    """Describes the code of experiments; each definition of the project is read once."""

    def __init__(self, options: Options, given: Given | None = None) -> None:
        self._options = options
        self._codebase = (
            Codebase(options.root)
            if given is None
            else Codebase(options.root, script=given.script, read=given.read, is_live=True)
        )
        if given is not None:
            given.codebase = self._codebase

    def describe(self, metafunc: pytest.Metafunc, given: Iterable[str]) -> Describe:
        """Return what tells the manifest of a function for the code in a configuration.

        :param given: names that the matrix gives values to, in place of fixtures.
        :raises pytest.Collector.CollectError: a mark that cannot be understood.
        """
        marked = dict(self._marked(metafunc))
        given = frozenset(given)

        def describe(held: Sequence[object]) -> Manifest:
            code = self._code(metafunc, given, held)
            ours = dict(_ours(metafunc, code, given))
            return {**code.manifest, **ours, **dict(self._packages(code)), **marked}

        return describe

    def _code(
        self, metafunc: pytest.Metafunc, given: frozenset[str], held: Sequence[object]
    ) -> Code:
        """Describe function and fixtures, with those that are only asked for while it runs."""
        if (own := given_to(metafunc)) is not None:
            return self._given_code(metafunc, own.subject, held)
        is_apart = _is_collected(metafunc.definition.parent)
        known = _with_arguments(metafunc, {*metafunc.fixturenames} - given, given)
        while True:
            used = [
                each
                for name in sorted(known)
                for each in private.fixture_definitions(metafunc, name)
                if each.func.__module__ != fixtures.__name__
            ]
            code = self._codebase.describe(
                metafunc.function,
                path=_path(metafunc.definition),
                module=metafunc.module,
                also=[each.func for each in used],
                held=held,
                bound=[*_set_up_by(metafunc), *_bound_to(metafunc, used)],
                is_apart=is_apart,
            )
            if code.fixtures - given <= known:
                return code
            known |= _with_arguments(metafunc, code.fixtures - given, given)

    def _given_code(
        self, metafunc: pytest.Metafunc, subject: Subject, held: Sequence[object]
    ) -> Code:
        """Describe a callable that was given to the session: there are no fixtures to it."""
        return self._codebase.describe(
            subject.code,
            path=subject.path,
            is_named=bool(subject.path),
            module=metafunc.module,
            also=subject.also,
            held=held,
            is_apart=is_experiment_name,
            values=subject.values,
        )

    def _packages(self, code: Code) -> Iterator[tuple[str, str]]:
        """Yield the versions that are part of the key by ini ``memento_key_packages``."""
        patterns = [packages.normal(each) for each in self._options.key_packages]
        if not patterns:
            return
        used = packages.distributions(code.packages)
        named = [each for each in patterns if not _is_pattern(each)]
        matching = [each for each in used if any(fnmatchcase(each, p) for p in patterns)]
        for name in sorted({*named, *matching}):
            yield f"package {name}", packages.version(name)

    def _marked(self, metafunc: pytest.Metafunc) -> Iterator[tuple[str, str]]:
        """Yield what the marks say: ``version=``, and ``depends=`` with the files' digests."""
        marks = list(metafunc.definition.iter_markers("memento"))
        versions = [mark.kwargs["version"] for mark in marks if "version" in mark.kwargs]
        if versions:
            yield "version", _version(metafunc, versions[0])
        path, root, store = metafunc.definition.path, self._options.root, self._options.store
        for mark in marks:
            if "depends" not in mark.kwargs:
                continue
            try:
                for file in find(_patterns(mark.kwargs["depends"]), [path.parent, root]):
                    yield f"file {name_of(file, root)}", store.file_digest(file)
            except (FileError, OSError) as error:
                raise _wrong(metafunc, str(error)) from None


def _ours(
    metafunc: pytest.Metafunc, code: Code, given: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Yield the entries of those of our own fixtures that are asked for, maybe by others."""
    names = {*metafunc.fixturenames, *code.fixtures} - given
    for name in sorted(_with_arguments(metafunc, names, given) & _OURS.keys()):
        definitions = private.fixture_definitions(metafunc, name)
        if any(each.func.__module__ == fixtures.__name__ for each in definitions):
            yield f"{fixtures.__name__}.{name}", _OURS[name]


def _with_arguments(
    metafunc: pytest.Metafunc, names: Iterable[str], given: frozenset[str]
) -> set[str]:
    """Return fixtures with those that they take as arguments, overridden ones among them."""
    known, waiting = set[str](), {*names}
    while waiting:
        name = waiting.pop()
        known.add(name)
        for definition in private.fixture_definitions(metafunc, name):
            waiting |= {*definition.argnames} - given - known
    return known


def _set_up_by(metafunc: pytest.Metafunc) -> Iterator[tuple[types.ModuleType, str]]:
    """Yield the functions that pytest runs around what is in a module, in the style of xunit."""
    names = _AROUND_MODULE if metafunc.cls else (*_AROUND_MODULE, *_AROUND_FUNCTION)
    yield from ((metafunc.module, name) for name in names if hasattr(metafunc.module, name))


def _bound_to(
    metafunc: pytest.Metafunc, fixtures: Iterable[pytest.FixtureDef[Any]]
) -> Iterator[tuple[types.ModuleType, str]]:
    """Yield what is bound to fixtures that a function made: ``data = make_fixture(3)``."""
    plugins = metafunc.config.pluginmanager.get_plugins()
    modules = [metafunc.module, *(each for each in plugins if isinstance(each, types.ModuleType))]
    for fixture in fixtures:
        if "<" in getattr(fixture.func, "__qualname__", ""):
            for module in modules:
                if hasattr(module, fixture.argname) and _is_seen_from(metafunc, module):
                    yield module, fixture.argname


def _is_seen_from(metafunc: pytest.Metafunc, module: types.ModuleType) -> bool:
    """Tell whether a module is not the ``conftest.py`` of another directory."""
    path = Path(getattr(module, "__file__", None) or "")
    return path.name != "conftest.py" or path.parent in metafunc.definition.path.parents


def _path(definition: Any) -> tuple[str, ...]:
    classes = [node.name for node in definition.listchain() if isinstance(node, pytest.Class)]
    return (*classes, definition.name)


def _is_collected(collector: Any) -> Callable[[str], bool]:
    def is_collected(name: str) -> bool:
        return is_experiment_name(name) or bool(collector.funcnamefilter(name))

    return is_collected


def _is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[")


def _patterns(depends: object) -> list[str | os.PathLike[str]]:
    if isinstance(depends, (list, tuple)) and all(isinstance(d, (str, Path)) for d in depends):
        return list(depends)
    raise FileError(f"depends is {depends!r}, not a list of files or patterns")


def _version(metafunc: pytest.Metafunc, version: object) -> str:
    if isinstance(version, (str, int, float)):
        return str(version)
    raise _wrong(metafunc, f"version is {version!r}, not a string or a number")


def _wrong(metafunc: pytest.Metafunc, text: str) -> pytest.Collector.CollectError:
    where = metafunc.definition.nodeid
    return pytest.Collector.CollectError(f"{where}: @pytest.mark.memento: {text}")
