"""A report as one HTML page that needs nothing else: no network, no server.

What a page must show without scripts (the summary, failures, where results came from) is written
here; table and figures are made by the scripts in ``page/`` from data that is embedded as JSON. A
content security policy allows exactly the scripts and styles of the file, by their digests, and no
request.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from pytest_memento.report import origins
from pytest_memento.report.causes import Cause, causes, ending
from pytest_memento.report.curves import Curves
from pytest_memento.report.json import dumped
from pytest_memento.report.model import FAILED, PASSED, Report, Row
from pytest_memento.report.summary import number, sentences, written
from pytest_memento.report.tabular import Column, Kind, Role, columns

UPLOT: Final = "vendor/uplot"
_SCRIPTS: Final = ("values", "expressions", "choice", "table", "colours", "lines", "parameters",
                   "steps", "main")  # fmt: skip
"""In the order in which what is done at once needs what is above."""
_MOST_SHOWN: Final = 20
"""Failures of one cause whose texts are shown."""
_MOST_CAUSES: Final = 100
_ALL_TEXTS: Final = 2_000_000
"""Characters of tracebacks and outputs in a page, and of each."""
_LONGEST_TEXT: Final = 20_000
_EXACT: Final = 2**53
_MARKS: Final = {"passed": "✓", "cached": "✓", "verified": "✓", FAILED: "✗"}
_ORDER: Final = (Role.EXPERIMENT, Role.PARAMETER, Role.SETTING, Role.STATUS, Role.RESULT,
                 Role.METRIC, Role.COST, Role.ERROR)  # fmt: skip
_HIDDEN: Final = ("cpu_time", "start_time")


def parts(report: Report) -> Iterator[str]:
    """Yield the page."""
    curves = Curves.of(report.rows)
    data = {"columns": _data_of(report), "rows": len(report.rows), **curves.to_json()}
    style = _read(f"{UPLOT}/uPlot.min.css") + _read("page/page.css")
    licence = _read(f"{UPLOT}/LICENSE").replace("*/", "* /")
    library = f"/*\n{licence}*/\n{_read(f'{UPLOT}/uPlot.iife.min.js')}"
    program = _program()
    yield "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
    policy = _policy(style, library, program)
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    yield "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
    yield "<meta name='color-scheme' content='light dark'>\n"
    yield "<link rel='icon' href='data:,'>\n"
    yield f"<title>{_escaped(report.title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
    yield from _body(report, curves)
    yield f"<script type='application/json' id='data'>{_embedded(data)}</script>\n"
    yield f"<script>{library}</script>\n<script>{program}</script>\n</body>\n</html>\n"


def _policy(style: str, *scripts: str) -> str:
    def sources(texts: Sequence[str]) -> str:
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {sources(scripts)}; style-src {sources([style])};"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )


def _program() -> str:
    """Return the scripts of the page as one, in which they see each other's names."""
    return "\n".join(
        ['(() => {\n"use strict";', *(_read(f"page/{n}.js") for n in _SCRIPTS), "})();"]
    )


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _escaped(text: str) -> str:
    return html.escape(text)


def _embedded(data: Any) -> str:
    """Return JSON that a page can hold in a script element, whatever the texts in it."""
    text = dumped(data)
    for character in "<>&":  # in JSON these stand in strings only
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


# -- data ------------------------------------------------------------------------------------------


def _data_of(report: Report) -> list[dict[str, Any]]:
    found = [column for column in columns(report) if _is_shown(column)]
    # What the eye looks for first is not to be behind what is wide.
    found.sort(key=lambda column: _ORDER.index(column.role))
    return [_column(column) for column in found]


def _is_shown(column: Column) -> bool:
    if column.name in _HIDDEN:
        return False
    if column.role is Role.SETTING:  # what is the same for all is said in the summary
        return not column.is_constant
    return column.role is not Role.ERROR or any(value for value in column.values)


def _column(column: Column) -> dict[str, Any]:
    head = {"name": column.name, "role": column.role.value}
    if column.kind in (Kind.TEXT, Kind.BOOL):
        texts = [None if value is None else str(value) for value in column.values]
        words = {text: n for n, text in enumerate(dict.fromkeys(texts)) if text is not None}
        words = {text: n for n, text in enumerate(words)}
        at = [-1 if text is None else words[text] for text in texts]
        return {**head, "kind": "text", "words": list(words), "at": at}
    kind = "number" if column.kind in (Kind.INT, Kind.FLOAT) else column.kind.value
    return {**head, "kind": kind, "values": [_number(value) for value in column.values]}


def _number(value: Any) -> Any:
    """Return a number as JavaScript can have it; others are shown as they are written."""
    return str(value) if isinstance(value, int) and abs(value) > _EXACT else value


# -- what is there without scripts -----------------------------------------------------------------


def _body(report: Report, curves: Curves) -> Iterator[str]:
    title = _escaped(report.title).replace("/", "/<wbr>").replace("::", "<wbr>::")
    yield f"<header>\n<h1>{title}</h1>\n"
    yield f"<p class='lead'>{_escaped(' '.join(sentences(report)))}</p>\n"
    if report.session is not None:
        command = _escaped(origins.typed(report.session.command))
        yield f"<dl><dt>command</dt><dd class='code'>{command}</dd></dl>\n"
    yield f"{_counts(report)}</header>\n<main>\n"
    yield "<noscript><p class='note'>Table and figures need JavaScript, which is switched off here."
    yield " No part of this page needs a network.</p></noscript>\n"
    yield "<section id='choose' aria-label='Choose experiments' hidden></section>\n"
    yield "<section id='figures' aria-label='Figures' hidden></section>\n"
    if curves.note:
        yield f"<p class='note' id='thinned' hidden>{_escaped(curves.note)}</p>\n"
    yield "<section id='table' aria-label='Table of experiments' hidden></section>\n"
    yield from _failures(report)
    yield from _origins(report)
    yield f"</main>\n<footer>{_escaped(written(report))} By pytest-memento; charts are drawn by"
    yield " uPlot (MIT licence, in the source of this page).</footer>\n"


def _counts(report: Report) -> str:
    if report.counts.keys() == {"passed"}:  # as the sentence has said
        return ""
    counts = ((word, f"{count:,} {word}") for word, count in report.counts.items())
    listed = "".join(f"<li>{_status(word, text)}</li>" for word, text in counts)
    return f"<ul class='counts'>{listed}</ul>\n"


def _status(word: str, text: str) -> str:
    """Return a status: by a mark and a word, not by its colour alone."""
    kind = "bad" if word == FAILED else "good" if word in PASSED else "other"
    mark = _MARKS.get(word, "\u2013")
    shown = f"<span class='status {kind}'><i aria-hidden='true'>{mark}</i>{_escaped(text)}</span>"
    return f"<a href='#failures'>{shown}</a>" if word == FAILED else shown


@dataclass(frozen=True)
class _Room:
    """How many characters of each text a page has room for."""

    most: int

    @classmethod
    def for_(cls, found: Sequence[Cause]) -> _Room:
        texts = 2 * sum(min(len(cause.rows), _MOST_SHOWN) for cause in found)
        return cls(min(_LONGEST_TEXT, _ALL_TEXTS // max(1, texts)))


def _failures(report: Report) -> Iterator[str]:
    found = causes(report.failures)
    if not found:
        return
    room = _Room.for_(found[:_MOST_CAUSES])
    yield "<section id='failures'>\n<h2>Failures</h2>\n"
    for cause in found[:_MOST_CAUSES]:
        yield from _cause(cause, report, room)
    if more := found[_MOST_CAUSES:]:
        experiments = number(sum(len(cause.rows) for cause in more), "experiment")
        yield f"<p class='note'>{experiments} failed for {len(more):,} other reasons: see the"
        yield " table.</p>\n"
    yield "</section>\n"


def _cause(cause: Cause, report: Report, room: _Room) -> Iterator[str]:
    error = ending(cause.error, room.most)
    yield f"<h3><span class='error'>{_escaped(error)}</span></h3>\n"
    yield f"<p>{_escaped(cause.where(report.rows))}</p>\n"
    for row in cause.rows[:_MOST_SHOWN]:
        name = row.name if len(report.experiments) > 1 else row.id or row.experiment
        yield f"<details><summary>{_escaped(name)}</summary>\n"
        yield from _texts(row, room)
        yield "</details>\n"
    if more := cause.rows[_MOST_SHOWN:]:
        yield f"<p class='note'>The texts of {len(more):,} more are left out here.</p>\n"


def _texts(row: Row, room: _Room) -> Iterator[str]:
    details = row.load()
    if details.traceback.strip():
        yield f"<pre tabindex='0'>{_escaped(ending(details.traceback, room.most))}</pre>\n"
    if details.output.strip():
        yield "<p class='note'>What it printed and logged:</p>\n"
        yield f"<pre tabindex='0'>{_escaped(ending(details.output, room.most))}</pre>\n"
    if not (details.traceback.strip() or details.output.strip()):
        yield "<p class='note'>Nothing more is on record.</p>\n"


def _origins(report: Report) -> Iterator[str]:
    found = origins.facts(report)
    if not found:
        return
    yield "<section id='origins'>\n<h2>Where the results came from</h2>\n"
    if any(len(fact.values) > 1 for fact in found):
        yield "<p class='note'>In parentheses: how many results, where they differ.</p>\n"
    yield "<dl>\n"
    session = origins.typed(report.session.command) if report.session is not None else ""
    for fact in found:
        if fact.name == "command" and fact.text == session:  # as is said above
            continue
        kind = " class='code'" if fact.name in ("command", "commit") else ""
        yield f"<dt>{fact.name}</dt><dd{kind}>{_escaped(fact.text)}</dd>\n"
    yield "</dl>\n"
    if versions := origins.packages(report):
        yield f"<details><summary>Versions of {number(len(versions), 'package')}</summary>\n"
        yield "<dl class='packages'>\n"
        for fact in versions:
            yield f"<dt>{_escaped(fact.name)}</dt><dd>{_escaped(fact.text)}</dd>\n"
        yield "</dl></details>\n"
    yield "</section>\n"
