"""The licence gate: a stick handed over is redistribution, so each component's licence must allow that.

Decides from SPDX expressions alone, without I/O. What a licence says is judged by the table below; whether the
expression on a card is true is for the person who writes the recipe.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from license_expression import (
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

from bundles.errors import LicenceRefused
from bundles.recipe import Component, Recipe

ALLOW: frozenset[str] = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "MIT-0", "Unlicense", "Zlib",
        "CC0-1.0", "CC-BY-3.0", "CC-BY-3.0-IGO", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-3.0-IGO", "CC-BY-SA-4.0",
        "CDLA-Permissive-2.0", "ODC-By-1.0", "PDDL-1.0",
    }
)  # fmt: skip

ASK: Mapping[str, str] = {
    "AGPL-3.0-only": "its source must be offered to whoever uses it over a network",
    "AGPL-3.0-or-later": "its source must be offered to whoever uses it over a network",
    "GPL-2.0-only": "its source must be offered with it",
    "GPL-2.0-or-later": "its source must be offered with it",
    "GPL-3.0-only": "its source must be offered with it",
    "GPL-3.0-or-later": "its source must be offered with it",
    "LGPL-2.1-only": "its source must be offered with it",
    "LGPL-2.1-or-later": "its source must be offered with it",
    "LGPL-3.0-only": "its source must be offered with it",
    "LGPL-3.0-or-later": "its source must be offered with it",
    "MPL-2.0": "the source of changed files must be offered",
    "ODbL-1.0": "a derived database must be shared under the same licence",
    "CC-BY-ND-3.0": "no changed version may be passed on, and a conversion or translation may be one",
    "CC-BY-ND-4.0": "no changed version may be passed on, and a conversion or translation may be one",
    "LicenseRef-DeepSeek": "its use restrictions must be passed on to the users",
    "LicenseRef-Gemma": "its notice and its prohibited-use policy must be passed on",
    "LicenseRef-Llama-2": "its notice, its name rule and its use policy must be passed on",
    "LicenseRef-Llama-3": "its notice, its name rule and its use policy must be passed on",
    "LicenseRef-Llama-3.1": "its notice, its name rule and its use policy must be passed on",
    "LicenseRef-Llama-3.2": "its notice, its name rule and its use policy must be passed on",
    "LicenseRef-Llama-3.3": "its notice, its name rule and its use policy must be passed on",
    "LicenseRef-OpenRAIL": "its use restrictions must be passed on to the users",
}

DENY: Mapping[str, str] = {
    "LicenseRef-Qwen-Research": "it allows research only",
    "LicenseRef-MRL": "it allows research only",
}

_NON_COMMERCIAL = re.compile(r"(^|-)(NC|NonCommercial|Non-Commercial|Noncommercial)(-|$)", re.IGNORECASE)
_RANK = {"allow": 0, "ask": 1, "deny": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the table says about one expression."""

    outcome: str
    """``allow``, ``ask`` or ``deny``."""
    reason: str = ""
    """For ``ask`` and ``deny``: a clause that continues "because"."""


def judge(expression: str, accepted: frozenset[str] = frozenset()) -> Verdict:
    """The verdict on an SPDX expression: the strictest of an AND, the mildest of an OR.

    ``accepted`` are the ``ask`` licences that a person has read and accepted. A ``deny`` cannot be accepted away.
    """
    try:
        tree = _licensing().parse(expression)
    except ExpressionError as error:
        return Verdict(outcome="deny", reason=f"{expression!r} is no SPDX expression ({error or 'not well-formed'})")
    if tree is None:
        return Verdict(outcome="deny", reason="no licence is given")
    return _judge_tree(tree, accepted)


def check_licences(recipe: Recipe) -> None:
    """Refuse a recipe with a component that may not be passed on. An adapter is also bound by its base's licence.

    Raises:
        LicenceRefused: naming the component and the reason.
    """
    needless = sorted(recipe.accepted_licences - ASK.keys())
    if needless:
        raise LicenceRefused(
            f"accepted_licences names {needless[0]}, which is not for a person to accept.",
            needed=f"Those are: {', '.join(sorted(ASK))}.",
            todo="Remove it.",
        )
    models = {c.name: c for c in recipe.components if c.kind == "model"}
    for component in recipe.components:
        expression = effective_licence(component, models)
        verdict = judge(expression, recipe.accepted_licences)
        if verdict.outcome == "deny":
            raise LicenceRefused(
                f"{component.label} under {expression} may not be passed on: {verdict.reason}.",
                needed="A stick handed over is redistribution, also without payment.",
                todo="Choose another source, or correct its licence to the SPDX name on its card.",
            )
        if verdict.outcome == "ask":
            raise LicenceRefused(
                f"{component.label} is under {expression}: {verdict.reason}.",
                needed="Somebody must read that licence and decide.",
                todo='Then name it in [bundle] accepted_licences = ["..."].',
            )


def effective_licence(component: Component, models: Mapping[str, Component]) -> str:
    """The component's own expression, and for an adapter its base's as well."""
    if component.base is None:
        return component.licence
    base = models[component.base].licence
    return component.licence if base == component.licence else f"({component.licence}) AND ({base})"


@cache
def _licensing() -> Licensing:
    """Takes 30 ms: it reads the table of SPDX names."""
    return get_spdx_licensing()


def _judge_tree(tree: object, accepted: frozenset[str]) -> Verdict:
    if isinstance(tree, LicenseWithExceptionSymbol):
        # An exception only ever gives more freedom than the licence it stands with.
        return _judge_tree(tree.license_symbol, accepted)
    if isinstance(tree, LicenseSymbol):
        return _judge_key(str(tree.key), accepted)
    verdicts = [_judge_tree(branch, accepted) for branch in tree.args]  # type: ignore[attr-defined]
    pick = max if type(tree).__name__ == "AND" else min
    return pick(verdicts, key=lambda verdict: _RANK[verdict.outcome])


def _judge_key(key: str, accepted: frozenset[str]) -> Verdict:
    if _NON_COMMERCIAL.search(key):
        return Verdict(outcome="deny", reason=f"{key} forbids commercial use, and who a box will serve is not known")
    if key in DENY:
        return Verdict(outcome="deny", reason=DENY[key])
    if key in ALLOW or (key in ASK and key in accepted):
        return Verdict(outcome="allow")
    if key in ASK:
        return Verdict(outcome="ask", reason=ASK[key])
    return Verdict(outcome="deny", reason=f"{key} is not in the table of known licences (bundles/licences.py)")
