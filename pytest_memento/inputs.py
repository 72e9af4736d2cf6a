"""Results of one experiment as values in the matrix of another one.

    "parameters": {"model": results_of("exp_train.py::experiment"), "metric": ["f1", "auc"]}

A user writes :func:`results_of`; for each result that it stands for there is an :class:`Input`, put
in its place when a matrix is expanded. It is a reference: the result may not be there yet.
Which configuration it is of belongs to the parameters of the experiment that is given it, and how
it is computed to the code. So a change makes exactly those stale that depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_memento.config import Config
from pytest_memento.errors import MatrixError
from pytest_memento.matrix.words import what
from pytest_memento.record import Key, Plain, Value, describe_config

if TYPE_CHECKING:
    from pytest_memento.fingerprint import Digest
    from pytest_memento.results import Result, Results

Where: TypeAlias = Mapping[str, Any] | Callable[[Config], object] | None
"""Which configurations: those that have these values, or for which a function returns true."""


@dataclass(frozen=True)
class Input:
    """The result of an experiment, as a value for another one.

    :param key: of the result.
    :param label: of its configuration, as in its test id.
    :param config: its configuration; of a stored one, what plain data can tell of it.
    :param made_from: what its code and its settings are: the manifest, and setting -> digest.
    :param parts: what its parameters are, as far as plain data can tell.
    :param store: the directory of the store that it is in, if it is not in that of the session.
    :param is_twin: whether one before it differs from it in nothing but the settings.
    """

    key: Key
    label: str = field(compare=False)
    config: Config = field(compare=False, repr=False)
    made_from: Mapping[str, str] = field(compare=False, repr=False)
    parts: Mapping[str, Plain] = field(compare=False, repr=False)
    store: str = field(default="", compare=False)
    is_twin: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        """What people know it as: experiment and configuration."""
        return f"{self.key.experiment}[{self.label}]"

    @property
    def __name__(self) -> str:
        return f"({self.label})"  # in labels

    def __memento_key__(self) -> list[str]:
        """Return what counts among parameters: which configuration of which experiment."""
        settings = [self.key.settings] if self.is_twin else []
        return ["input", self.key.experiment, self.key.parameters, *settings]

    def __memento_code__(self) -> dict[str, str]:
        """Return what counts as code: how it is computed."""
        return manifest_of({"": self})

    def __memento_seen__(self) -> InputConfig:
        """Return what functions of the user see of it."""
        return InputConfig(self)

    def __memento_parts__(self) -> Mapping[str, Plain]:
        """Return what it is told apart by in tables."""
        return self.parts

    def is_elsewhere(self, root: Path) -> bool:
        """Whether it is in another store than that in a directory."""
        return bool(self.store) and Path(self.store) != root.absolute()

    def of(self, word: str) -> Input:
        """Return the same, told apart in tables by a word for its experiment, too."""
        return replace(self, parts={"experiment": word, **self.parts})

    def __deepcopy__(self, memo: dict[int, Any]) -> Input:
        return self


class InputConfig(Config):
    """What functions of the user see of a result when a matrix is expanded: its configuration.

    As in ``lambda config: config.model.lr > 1``. An :class:`Input` has other names, and a parameter
    may be called the same, as ``name``; no parameter is called as anything of a :class:`Config`.
    """

    __slots__ = ("_input",)
    _input: Input

    def __init__(self, given: Input) -> None:
        config = given.config
        seen = {n: _seen(value) for n, value in config._values.items()}  # some are loaded later
        super().__init__(seen, config.settings, config.untracked)
        object.__setattr__(self, "_input", given)

    @property
    def config(self) -> Config:
        """The same: that it is a configuration may be said, or not."""
        return self

    @property
    def fingerprint(self) -> tuple[Digest, Digest]:
        """The digests of the parameters and of the tracked settings."""
        key = self._input.key
        return key.parameters, key.settings

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise KeyError(self._missing(name))
        return super().__getitem__(name)

    def _missing(self, name: str) -> str:  # noqa: ARG002
        return (
            f"the result of {self._input.key.experiment} is not there yet: what is known of it is"
            f" its configuration ({', '.join(self)}), and .config.settings"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InputConfig) and self._input == other._input

    def __hash__(self) -> int:
        return hash(self._input)

    def __reduce__(self) -> tuple[Any, ...]:
        return InputConfig, (self._input,)


def _seen(value: Any) -> Any:
    return InputConfig(value) if isinstance(value, Input) else value


OF_INPUT = "input "
"""What entries of a manifest begin with that are of an input."""
OF_SETTING = "setting "
"""What entries of an input begin with that are its settings."""


def made_from(manifest: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return what a result is made from, beside its parameters.

    :param settings: tracked setting -> digest.
    """
    return {**{f"{OF_SETTING}{name}": digest for name, digest in settings.items()}, **manifest}


def manifest_of(given: Mapping[str, Input]) -> dict[str, str]:
    """Return what counts as code of inputs: how they are computed.

    What all inputs of an experiment share is there once. Where they differ, as in a setting, each
    has an entry of its own, with its parameter: one must not hide the other.

    :param given: parameter -> input.
    """
    groups: dict[str, dict[str, Input]] = {}
    for name, each in given.items():
        groups.setdefault(each.key.experiment, {})[name] = each
    return {
        _entry(experiment, "" if is_shared else name, entry): digest
        for experiment, inputs in groups.items()
        for entry, is_shared in _entries([each.made_from for each in inputs.values()]).items()
        for name, each in inputs.items()
        if (digest := each.made_from.get(entry)) is not None
    }


def _entries(made: Sequence[Mapping[str, str]]) -> dict[str, bool]:
    """Return each entry, and whether it is the same in all."""
    names = dict.fromkeys(name for each in made for name in each)
    return {name: len({each.get(name) for each in made}) == 1 for name in names}


def _entry(experiment: str, parameter: str, entry: str) -> str:
    return f"{OF_INPUT}{experiment}{f' ({parameter})' if parameter else ''}: {entry}"


def opened(parameters: Mapping[str, Value]) -> dict[str, Plain]:
    """Return parameters by name, and what is in them by dotted name."""
    parts: dict[str, Plain] = {}
    for name, value in parameters.items():
        if not value.parts:
            parts[name] = value.shown
        parts |= {f"{name}.{part}": plain for part, plain in value.parts.items()}
    return parts


@dataclass(frozen=True)
class ResultsOf:
    """What a user writes among the parameters, see :func:`results_of`.

    :param target: the experiment, as it was written.
    :param where: which of its configurations.
    :param known: the inputs, where they are known already.
    """

    target: str
    where: Where = None
    known: tuple[Input, ...] | None = None

    def __repr__(self) -> str:
        return f"results_of({self.target!r})"

    def __memento_key__(self) -> None:
        # Where it is meant, inputs have taken its place before anything is fingerprinted.
        raise MatrixError(
            f"{self!r} stands for several values: write it in the list of a parameter's values, not"
            " inside one of them"
        )

    def __iter__(self) -> Any:
        raise TypeError(
            f"{self!r} cannot be iterated: write it in place of the list of a parameter's values;"
            " which results these are is known when the matrix is expanded"
        )


def results_of(
    source: str | Results | Result | Sequence[Result], *, where: Where = None
) -> ResultsOf:
    """Stand for the results of an experiment, as values of a parameter of another one.

    >>> matrix = {
    ...     "parameters": {
    ...         "model": results_of("exp_train.py::experiment", where={"dataset": "mnist"}),
    ...         "metric": ["accuracy", "f1"],
    ...     }
    ... }

    An experiment that is given one runs when it is there. ``config.model`` is then the result, and
    ``context.inputs["model"]`` more of it: its configuration, its directory.

    :param source: an experiment, as ``exp_file.py::experiment``: the file is looked for beside the
        one in which the matrix is used, then from the root directory; ``::experiment`` is one of
        the same file, and a file alone will do where it has only one. Or results that are there,
        from :func:`load_results` or ``Memento(...).run``.
    :param where: which of them: parameter -> value or list of values, or a function of the
        configuration.
    :raises MatrixError: *source* or *where* is something else.
    """
    if where is not None and not isinstance(where, Mapping) and not callable(where):
        raise MatrixError(f"results_of: 'where' is {what(where)}, not a dict or a function")
    if isinstance(where, Mapping) and not where:
        raise MatrixError("results_of: 'where' is an empty dict: leave it out for all results")
    if isinstance(source, str):
        return ResultsOf(source, where)
    several: Sequence[Any] = source if isinstance(source, (list, tuple)) else [source]
    known: list[Input] = []
    for each in several:
        if not is_result(each):
            raise MatrixError(
                "results_of takes an experiment such as 'exp_train.py::experiment', or results, not"
                f" {what(each)}"
            )
        known += each.__memento_inputs__(where)
    if not known:
        raise MatrixError("results_of was given no results: none is there, or none has passed")
    _refuse_equal(known)
    plural = "" if len(known) == 1 else "s"
    return ResultsOf(f"{len(known)} result{plural}", where, tuple(told_apart(known)))


def told_apart(inputs: Sequence[Input]) -> list[Input]:
    """Return inputs of which settings count as well where they differ in nothing else.

    They do not for the first of such twins: that there are others now makes no result of what is
    given it another one.

    :param inputs: in the order of their matrix.
    """
    several: dict[tuple[str, str], list[Input]] = {}
    for each in inputs:
        several.setdefault((each.key.experiment, each.key.parameters), []).append(each)
    return [_apart(each, several[each.key.experiment, each.key.parameters]) for each in inputs]


def _apart(given: Input, twins: Sequence[Input]) -> Input:
    if len({twin.key.settings for twin in twins}) == 1:
        return given
    first = next((twin.key for twin in twins if not twin.is_twin), given.key)
    is_twin = given.is_twin or given.key.settings != first.settings
    return replace(given, is_twin=is_twin, parts={**given.parts, **_settings(given, twins)})


def _settings(given: Input, twins: Sequence[Input]) -> dict[str, Plain]:
    """Return the settings by which an input is told apart from its twins."""
    _, settings = describe_config(given.config, {}, {})
    entries = {name: f"{OF_SETTING}{name}" for name in settings}
    return opened(
        {
            f"settings.{name}": value
            for name, value in settings.items()
            if len({twin.made_from.get(entries[name]) for twin in twins}) > 1
        }
    )


def words_for(experiments: Iterable[str]) -> dict[str, str]:
    """Return a word for each experiment, of one kind: the first by which they differ.

    >>> words_for(["exp_a.py::experiment", "exp_b.py::experiment"])
    {'exp_a.py::experiment': 'exp_a', 'exp_b.py::experiment': 'exp_b'}
    """
    several = [*dict.fromkeys(experiments)]
    kinds = zip(*map(_words, several), strict=True)
    words = next((kind for kind in kinds if len({*kind}) == len(several)), several)
    return dict(zip(several, words, strict=True))


def _words(experiment: str) -> tuple[str, str, str]:
    file, _, inside = experiment.partition("::")
    return inside.rpartition("::")[2], PurePosixPath(file).stem, inside


def _refuse_equal(inputs: Sequence[Input]) -> None:
    seen: dict[tuple[str, ...], Input] = {}
    for each in inputs:
        key = each.key
        before = seen.setdefault((key.experiment, key.parameters, key.settings), each)
        if before.key != key:
            raise MatrixError(
                f"results_of was given two results of {each.name}, computed by different code:"
                " leave one out, as load_results without history=True does"
            )


def is_result(value: object) -> bool:
    """Tell whether something is a stored result, or several."""
    return hasattr(type(value), "__memento_inputs__")
