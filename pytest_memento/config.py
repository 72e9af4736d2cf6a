"""One configuration: what an experiment is called with."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pytest_memento.fingerprint import Digest, StandIn, digest_named, digest_value
from pytest_memento.labels import label


class Later:
    """Stands for a value that is loaded when it is first asked for.

    :param load: loads it.
    :param text: what people know it as.
    """

    def __init__(self, load: Callable[[], Any], text: str) -> None:
        self._load = load
        self._found: tuple[Any] | None = None
        self.__name__ = text  # in labels

    def now(self) -> Any:
        """Return the value: the same object each time."""
        if self._found is None:
            self._found = (self._load(),)
        return self._found[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> Later:
        return self


class Settings(Mapping[str, Any]):
    """Values that all experiments of a matrix share, by attribute or by name. Immutable.

    >>> settings = Settings({"n_fold": 5})
    >>> settings.n_fold, settings["n_fold"], dict(settings)
    (5, 5, {'n_fold': 5})
    """

    __slots__ = ("_values",)
    _values: dict[str, Any]
    _kind = "setting"

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "_values", dict(values or {}))

    def asdict(self) -> dict[str, Any]:
        """Return the values as a new dict."""
        return {name: self[name] for name in self._values}

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        return value.now() if isinstance(value, Later) else value

    def __contains__(self, name: object) -> bool:  # which the mixin finds out by loading it
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        # Private names are never values, and asking for ours before __init__ must not recurse.
        if not name.startswith("_") and name in self._values:
            return self[name]
        raise AttributeError(name if name.startswith("_") else self._missing(name))

    def _missing(self, name: str) -> str:
        known = ", ".join(self._values) or "none"
        hint = f" (did you mean {near!r}?)" if (near := nearest(name, self._values)) else ""
        return f"no {self._kind} {name!r}{hint}; there are: {known}"

    def __setattr__(self, name: str, value: object) -> None:
        __tracebackhide__ = True
        raise AttributeError(f"{type(self).__name__} is immutable: {name!r} cannot be set")

    def __delattr__(self, name: str) -> None:
        __tracebackhide__ = True
        raise AttributeError(f"{type(self).__name__} is immutable: {name!r} cannot be deleted")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={label(value)}" for name, value in self._values.items())
        return f"{type(self).__name__}({inside})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings) or type(self) is not type(other):
            return NotImplemented
        return digest_values(self._values) == digest_values(other._values)

    def __hash__(self) -> int:
        return hash(digest_values(self._values))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.asdict(),)


class Config(Settings):
    """One configuration of a matrix: its parameters, and under ``settings`` what all share.

    Parameters are read by attribute or by name; the mapping protocol is over the parameters.
    Two configurations are equal when their fingerprints are, so ``1``, ``1.0`` and ``True``
    make three. Untracked settings do not count.

    >>> config = Config({"model": dict, "lr": 0.1}, {"n_fold": 5})
    >>> config.lr, config["lr"], config.settings.n_fold, config.asdict()
    (0.1, 0.1, 5, {'model': <class 'dict'>, 'lr': 0.1})

    :param parameters: name -> value.
    :param settings: name -> value.
    :param untracked: names of settings that cannot change a result.
    """

    __slots__ = ("_fingerprint", "_settings", "_untracked")
    _fingerprint: tuple[Digest, Digest] | None
    _settings: Settings
    _untracked: frozenset[str]
    _kind = "parameter"

    def __init__(
        self,
        parameters: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        untracked: Iterable[str] = (),
        *,
        fingerprint: tuple[Digest, Digest] | None = None,
    ) -> None:
        super().__init__(parameters)
        shared = settings if isinstance(settings, Settings) else Settings(settings)
        object.__setattr__(self, "_settings", shared)
        object.__setattr__(self, "_untracked", frozenset(untracked))
        object.__setattr__(self, "_fingerprint", fingerprint)

    @property
    def settings(self) -> Settings:
        """What all experiments of the matrix share."""
        return self._settings

    @property
    def untracked(self) -> frozenset[str]:
        """The names of the settings that are not part of the key."""
        return self._untracked

    @property
    def fingerprint(self) -> tuple[Digest, Digest]:
        """The digests of the parameters and of the tracked settings."""
        if self._fingerprint is None:
            tracked = {n: v for n, v in self._settings.items() if n not in self._untracked}
            made = digest_values(self._values), digest_values(tracked)
            object.__setattr__(self, "_fingerprint", made)
            return made
        return self._fingerprint

    def detached(self, given: Mapping[str, Any] | None = None) -> Config:
        """Return a deep copy, so that one experiment cannot change the values of the next.

        A value that cannot be copied is shared.

        :param given: parameter -> what takes the place of its value.
        """
        given = given or {}
        return Config(
            {n: given[n] if n in given else copied(value) for n, value in self._values.items()},
            {name: copied(value) for name, value in self._settings.items()},
            self._untracked,
            fingerprint=self._fingerprint,
        )

    def _missing(self, name: str) -> str:
        if name in self._settings:
            return f"{name!r} is a setting, not a parameter: use config.settings.{name}"
        return super()._missing(name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Config):
            return NotImplemented
        return self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.asdict(), self._settings.asdict(), sorted(self._untracked))


RESERVED = frozenset(
    {name for name in dir(Config) if not name.startswith("_")}
    | {"cls", "config", "context", "matrix", "request", "self"}
)
"""Names that no parameter and no setting can have: they mean something else already."""


def value_in(config: Config, name: str) -> Any:
    """Return the value of a parameter or setting.

    :raises KeyError: there is none of that name.
    """
    return config[name] if name in config else config.settings[name]


def digest_values(values: Mapping[str, object], *, stand_in: StandIn | None = None) -> Digest:
    """Return the fingerprint of named values, whatever their order."""
    return digest_named({n: digest_value(v, stand_in=stand_in) for n, v in values.items()})


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that *name* is probably a misspelling of."""
    by_case = {each.casefold(): each for each in known}
    found = difflib.get_close_matches(name.casefold(), by_case, n=1)
    return by_case[found[0]] if found else None


def copied(value: Any) -> Any:
    """Return a deep copy; what cannot be copied is shared."""
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever a foreign __deepcopy__ raises
        return value
