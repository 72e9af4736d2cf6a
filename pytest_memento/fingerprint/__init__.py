"""What makes a key: digests of values and of code that are equal in every process."""

from __future__ import annotations

from pytest_memento.fingerprint.arrays import Parts
from pytest_memento.fingerprint.code import Code, Codebase
from pytest_memento.fingerprint.functions import Digest, codes_in, digest_text
from pytest_memento.fingerprint.living import is_living, source_says
from pytest_memento.fingerprint.meaning import Definition
from pytest_memento.fingerprint.modules import Module, Script, Unit, is_own, line_of, spec_of
from pytest_memento.fingerprint.names import Names, import_name, is_found, names_of, take
from pytest_memento.fingerprint.values import (
    StandIn,
    digest_if_any,
    digest_named,
    digest_value,
    parts_of,
)

__all__ = [
    "Code",
    "Codebase",
    "Definition",
    "Digest",
    "Module",
    "Names",
    "Parts",
    "Script",
    "StandIn",
    "Unit",
    "codes_in",
    "digest_if_any",
    "digest_named",
    "digest_text",
    "digest_value",
    "import_name",
    "is_found",
    "is_living",
    "is_own",
    "line_of",
    "names_of",
    "parts_of",
    "source_says",
    "spec_of",
    "take",
]
