"""May it be passed on? The licence policy, the same at the workstation and on a box: a stick handed over is
redistribution, also without payment.

Decides from SPDX expressions alone. What a licence says is judged by the tables below, and what is not in them is
denied; whether the expression on a card is true is for the person who writes the recipe. Source of the expressions'
grammar: the SPDX specification 2.3, annex D.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bundles.format.errors import LicenceRefused
from bundles.format.manifest import Manifest

FREE = frozenset({"0BSD", "BSL-1.0", "CC0-1.0", "MIT-0", "PDDL-1.0", "Unlicense", "Zlib"})
"""Nothing need travel with it."""

_TEXT = "its copyright line and its text travel with it"
_NAMED = "whoever made it is named, with a link to the licence, and changes are said to be changes"
CONDITIONAL: Mapping[str, str] = {
    "Apache-2.0": "its text and its NOTICE file, if it has one, travel with it",
    "BSD-2-Clause": _TEXT,
    "BSD-3-Clause": _TEXT,
    "ISC": _TEXT,
    "MIT": _TEXT,
    "PSF-2.0": _TEXT,
    "Python-2.0": _TEXT,
    "CC-BY-3.0": _NAMED,
    "CC-BY-3.0-IGO": _NAMED,
    "CC-BY-4.0": _NAMED,
    "CC-BY-SA-3.0": _NAMED + ", under the same licence",
    "CC-BY-SA-3.0-IGO": _NAMED + ", under the same licence",
    "CC-BY-SA-4.0": _NAMED + ", under the same licence",
    "CDLA-Permissive-2.0": "its text travels with it",
    "ODC-By-1.0": "whoever made it is named, with a link to the licence",
}
"""Allowed, and why: its notices are shipped in NOTICES.txt."""

WANTS_TEXT = frozenset(key for key, asks in CONDITIONAL.items() if "its text" in asks)
"""Those that are kept only where their text travels with what is under them."""

_SOURCE = "its source must be offered with it"
_NETWORK = "its source must be offered to whoever uses it over a network"
_NO_CHANGES = "no changed version may be passed on, and a conversion or translation may be one"
_LLAMA = "its notice, its name rule and its use policy must be passed on"
ASK: Mapping[str, str] = {
    "AGPL-3.0-only": _NETWORK,
    "AGPL-3.0-or-later": _NETWORK,
    "GPL-2.0-only": _SOURCE,
    "GPL-2.0-or-later": _SOURCE,
    "GPL-3.0-only": _SOURCE,
    "GPL-3.0-or-later": _SOURCE,
    "LGPL-2.1-only": _SOURCE,
    "LGPL-2.1-or-later": _SOURCE,
    "LGPL-3.0-only": _SOURCE,
    "LGPL-3.0-or-later": _SOURCE,
    "MPL-2.0": "the source of changed files must be offered",
    "ODbL-1.0": "a derived database must be shared under the same licence",
    "CC-BY-ND-3.0": _NO_CHANGES,
    "CC-BY-ND-4.0": _NO_CHANGES,
    "LicenseRef-DeepSeek": "its use restrictions must be passed on to the users",
    "LicenseRef-Gemma": "its notice and its prohibited-use policy must be passed on",
    "LicenseRef-Llama-2": _LLAMA,
    "LicenseRef-Llama-3": _LLAMA,
    "LicenseRef-Llama-3.1": _LLAMA,
    "LicenseRef-Llama-3.2": _LLAMA,
    "LicenseRef-Llama-3.3": _LLAMA,
    "LicenseRef-OpenRAIL": "its use restrictions must be passed on to the users",
}
"""Somebody must read it and decide; headquarters signs the decision into the bundle's index."""

DENY: Mapping[str, str] = {
    "LicenseRef-Qwen-Research": "it allows research only",
    "LicenseRef-MRL": "it allows research only",
}

_NON_COMMERCIAL = re.compile(r"(^|-)(NC|NonCommercial|Non-Commercial|Noncommercial)(-|$)", re.IGNORECASE)
_RANK = {"allow": 0, "conditional": 1, "ask": 2, "deny": 3}
_CANONICAL = {key.lower(): key for key in (*FREE, *CONDITIONAL, *ASK, *DENY)}
_TOKEN = re.compile(r"\s*(?:([()])|([A-Za-z0-9][A-Za-z0-9.+-]*))")
_MAX_LENGTH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the tables say about one expression."""

    outcome: str
    """``allow``, ``conditional``, ``ask`` or ``deny``."""
    reason: str = ""
    """For ``ask`` and ``deny``: a clause that continues "because"."""
    conditions: tuple[tuple[str, str], ...] = ()
    """Licences that apply when it is passed on, each with what it asks for, or nothing."""


def judge(expression: str, accepted: frozenset[str] = frozenset()) -> Verdict:
    """The verdict on an SPDX expression: the strictest of an AND, the mildest of an OR.

    ``accepted`` are the ``ask`` licences that a person has read and accepted. A ``deny`` cannot be accepted away.
    """
    try:
        return _Expression(expression, accepted).verdict()
    except ValueError as error:
        return Verdict(outcome="deny", reason=str(error))


def refuse_unpassable(manifests: Iterable[Manifest], accepted: frozenset[str]) -> None:
    """The gate for what is signed: each component, and each adapter under its base's licence as well.

    Raises:
        LicenceRefused: naming the component and the reason.
    """
    known = tuple(manifests)
    weights = {layer.blob.digest: manifest for manifest in known for layer in manifest.layers}
    for manifest in known:
        base = weights.get(manifest.annotations.get("org.fieldpost.base", ""))
        refuse(f"{manifest.kind}/{manifest.name}", joined(manifest.licence, base.licence if base else None), accepted)


def refuse(label: str, expression: str, accepted: frozenset[str]) -> Verdict:
    """The verdict, if it lets the component through.

    Raises:
        LicenceRefused: it does not.
    """
    verdict = judge(expression, accepted)
    if verdict.outcome == "deny":
        raise LicenceRefused(
            f"{label} under {expression} may not be passed on: {verdict.reason}.",
            needed="A stick handed over is redistribution, also without payment.",
            todo="Choose another source, or correct its licence to the SPDX name on its card.",
        )
    if verdict.outcome == "ask":
        raise LicenceRefused(
            f"{label} is under {expression}: {verdict.reason}.",
            needed="Somebody must read that licence and decide.",
            todo='Then name it in [bundle] accepted_licences = ["..."].',
        )
    return verdict


def joined(own: str, base: str | None) -> str:
    """A component's own expression, and for an adapter its base's as well."""
    return own if base is None or base == own else f"({own}) AND ({base})"


class _Expression:
    """A parser by descent: OR of ANDs of licences, each perhaps WITH an exception, or of expressions in brackets."""

    def __init__(self, text: str, accepted: frozenset[str]) -> None:
        self._text = text
        self._accepted = accepted
        self._tokens: list[str] = []
        if not text.strip():
            raise ValueError("no licence is given")
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None or len(text) > _MAX_LENGTH:
                raise self._malformed()
            self._tokens.append(found[1] or found[2])
            at = found.end()

    def verdict(self) -> Verdict:
        whole = self._any(0)
        if self._tokens:
            raise self._malformed()
        return whole

    def _any(self, depth: int) -> Verdict:
        found = [self._all(depth)]
        while self._take("OR"):
            found.append(self._all(depth))
        return min(found, key=lambda verdict: _RANK[verdict.outcome])

    def _all(self, depth: int) -> Verdict:
        found = [self._one(depth)]
        while self._take("AND"):
            found.append(self._one(depth))
        worst = max(found, key=lambda verdict: _RANK[verdict.outcome])
        conditions = dict.fromkeys(condition for verdict in found for condition in verdict.conditions)
        return Verdict(outcome=worst.outcome, reason=worst.reason, conditions=tuple(conditions))

    def _one(self, depth: int) -> Verdict:
        if self._take("("):
            if depth > 20:
                raise self._malformed()
            inner = self._any(depth + 1)
            if not self._take(")"):
                raise self._malformed()
            return inner
        verdict = self._judge(self._name())
        if self._take("WITH"):
            self._name()  # an exception only ever gives more freedom than the licence it stands with
        return verdict

    def _name(self) -> str:
        if not self._tokens or self._tokens[0] in ("(", ")") or self._tokens[0].upper() in ("AND", "OR", "WITH"):
            raise self._malformed()
        return self._tokens.pop(0)

    def _take(self, word: str) -> bool:
        if self._tokens and self._tokens[0].upper() == word:
            self._tokens.pop(0)
            return True
        return False

    def _malformed(self) -> ValueError:
        return ValueError(f"{self._text[:80]!r} is no SPDX expression (not well-formed)")

    def _judge(self, name: str) -> Verdict:
        key = _CANONICAL.get(name.lower(), name)
        if _NON_COMMERCIAL.search(key):
            reason = f"{key} forbids commercial use, and who a box will serve is not known"
            return Verdict(outcome="deny", reason=reason)
        if key in DENY:
            return Verdict(outcome="deny", reason=DENY[key])
        if key in FREE:
            return Verdict(outcome="allow", conditions=((key, ""),))
        if key in CONDITIONAL:
            return Verdict(outcome="conditional", conditions=((key, CONDITIONAL[key]),))
        if key in ASK:
            outcome = "conditional" if key in self._accepted else "ask"
            return Verdict(outcome=outcome, reason=ASK[key], conditions=((key, ASK[key]),))
        return Verdict(
            outcome="deny", reason=f"{key} is not in the table of known licences (bundles/format/licence_policy.py)"
        )
