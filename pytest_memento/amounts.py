"""Durations, ages and sizes in a few characters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

_DAY = 86_400
_NEVER = 1e9
"""Seconds after which nobody is there to see it."""


def duration(seconds: float) -> str:
    """Return a duration, two units at most.

    >>> duration(0.0042), duration(2.5), duration(723), duration(6720), duration(200000)
    ('0.00s', '2.50s', '12m03s', '1h52m', '2d07h')
    """
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < _DAY:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // _DAY}d{whole % _DAY // 3600:02}h"


def about(seconds: float) -> str:
    """Return an estimate, one unit.

    >>> about(0.3), about(44), about(2460), about(9000)
    ('under 1 s', 'about 44 s', 'about 41 min', 'about 2.5 h')
    """
    if seconds < 1:
        return "under 1 s"
    if seconds < 60:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    if seconds < 2 * _DAY:
        return f"about {seconds / 3600:.1f} h"
    return f"about {seconds / _DAY:.1f} days"


def time_of_day(seconds: float, now: datetime) -> str:
    """Return when it will be in so many seconds: with the day, or the date, where it is far off.

    >>> now = datetime(2026, 11, 27, 9, 30)
    >>> time_of_day(60, now), time_of_day(2 * 86400, now), time_of_day(9 * 86400, now)
    ('09:31', 'Sun 09:30', '2026-12-06')
    """
    end = now + timedelta(seconds=min(seconds, _NEVER))
    if seconds < _DAY / 2:
        return f"{end:%H:%M}"
    return f"{end:%a %H:%M}" if seconds < 6 * _DAY else f"{end:%Y-%m-%d}"


def ago(seconds: float) -> str:
    """Return an age in words.

    >>> ago(3), ago(60), ago(7200), ago(180000)
    ('just now', '1 minute ago', '2 hours ago', '2 days ago')
    """
    for name, length in (("day", _DAY), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {name}{'s' if number > 1 else ''} ago"
    return "just now"


def size(count: float) -> str:
    """Return a number of bytes in decimal units.

    >>> size(12), size(1200), size(1.2e9)
    ('12 B', '1.2 kB', '1.2 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def to_seconds(text: str) -> float:
    """Return the seconds of a duration, in the forms that are shown here and in words.

    >>> to_seconds("2m"), to_seconds("1h30m"), to_seconds("0.25s"), to_seconds("2.5 hours")
    (120.0, 5400.0, 0.25, 9000.0)

    :raises ValueError: it is none.
    """
    return _total(text, _SECONDS, "duration: write '90s', '2m', '1h30m' or '2d'")


def to_bytes(text: str) -> float:
    """Return the number of bytes of a size; ``kB`` is 1000 and ``KiB`` 1024.

    >>> to_bytes("12 B"), to_bytes("1.2 kB"), to_bytes("2GB"), to_bytes("1GiB")
    (12.0, 1200.0, 2000000000.0, 1073741824.0)

    :raises ValueError: it is none.
    """
    return _total(text, _BYTES, "size: write '500MB' or '2GB'")


_SECONDS = {
    unit: length
    for units, length in (
        ("ms", 0.001),
        ("s sec second seconds", 1),
        ("m min minute minutes", 60),
        ("h hour hours", 3600),
        ("d day days", _DAY),
    )
    for unit in units.split()
}
_BYTES = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)")


def _total(text: str, units: Mapping[str, float], wanted: str) -> float:
    compact = "".join(text.lower().split())
    parts = _PART.findall(compact)
    known = all(unit in units for _, unit in parts)
    if not (parts and known) or "".join(map("".join, parts)) != compact:
        raise ValueError(f"{text[:40]!r} is no {wanted}")
    return sum(float(number) * units[unit] for number, unit in parts)
