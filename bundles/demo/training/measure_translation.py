"""Measures the language pack through Argos Translate: exact match, chrF and whether numbers survive.

Needs argostranslate (and none of the libraries it wants only for other kinds of package).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from . import phrases
from .guides import DEMO, load_pairs

Translate = Callable[[str], str]


def stub(name: str) -> None:
    """Stands in for a library that argostranslate imports and that our packages never use."""
    if name not in sys.modules:
        module = types.ModuleType(name)
        module.Pipeline = module.SBDetect = object  # type: ignore[attr-defined]
        sys.modules[name] = module


def open_pack(folder: Path, source: str, target: str) -> Translate:
    """Installs one package into an empty place and returns its one-sentence translation."""
    home = tempfile.mkdtemp()
    os.environ.setdefault("ARGOS_PACKAGES_DIR", home)
    for name in ("stanza", "minisbd", "minisbd.models"):
        stub(name)
    sys.modules["minisbd"].models = sys.modules["minisbd.models"]  # type: ignore[attr-defined]
    import argostranslate.package as packages
    import ctranslate2

    packages.install_from_path(folder / f"translate-{source}_{target}-0_1.argosmodel")
    one = next(p for p in packages.get_installed_packages() if (p.from_code, p.to_code) == (source, target))
    runner = ctranslate2.Translator(str(one.package_path / "model"), device="cpu", inter_threads=1, intra_threads=2)

    def translate(text: str) -> str:
        # As argostranslate does it for one sentence, which it leaves to us to find.
        pieces = one.tokenizer.encode(text)
        made = runner.translate_batch([pieces], beam_size=4, replace_unknowns=True)
        return one.tokenizer.decode(made[0].hypotheses[0]).strip()

    return translate


def chrf(got: list[str], wanted: list[str], order: int = 6, beta: float = 2.0) -> float:
    """Corpus chrF, 0 to 100. Source: Popović, "chrF: character n-gram F-score" (2015)."""
    scores = []
    for n in range(1, order + 1):
        same = made = right = 0
        for g, w in zip(got, wanted, strict=True):
            a, b = (
                Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (g.replace(" ", ""), w.replace(" ", ""))
            )
            same, made, right = same + sum((a & b).values()), made + sum(a.values()), right + sum(b.values())
        if made and right:
            precision, recall = same / made, same / right
            if precision + recall:
                scores.append((1 + beta**2) * precision * recall / (beta**2 * precision + recall))
            else:
                scores.append(0.0)
    return 100 * sum(scores) / len(scores)


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+", text))


def report(name: str, translate: Translate, pairs: list[tuple[str, str]], *, show: bool) -> None:
    """One line of figures for a set of pairs."""
    got = [translate(a) for a, _ in pairs]
    wanted = [b for _, b in pairs]
    exact = sum(g == w for g, w in zip(got, wanted, strict=True))
    kept = sum(numbers(g) == numbers(a) for g, (a, _) in zip(got, pairs, strict=True))
    print(
        f"{name}: exact {exact}/{len(pairs)}, chrF {chrf(got, wanted):.1f}, numbers kept {kept}/{len(pairs)}",
        flush=True,
    )
    if show:
        for (a, w), g in zip(pairs, got, strict=True):
            if g != w:
                print(f"  from   {a}\n  wanted {w}\n  got    {g}")


def main() -> None:
    """The command line: see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=DEMO / "langpack")
    parser.add_argument("--show", action="store_true", help="print what differs")
    given = parser.parse_args()
    pairs = load_pairs()
    for source, target, kinds in (("en", "sw", ("sentence", "reply")), ("sw", "en", ("question", "evaluation"))):
        translate = open_pack(given.pack, source, target)

        def turned(rows: list[tuple[str, str]], source: str = source) -> list[tuple[str, str]]:
            return rows if source == "en" else [(b, a) for a, b in rows]

        own = turned([(p.en, p.sw) for p in pairs if p.kind in kinds])
        way = f"{source} to {target}"
        report(f"{way}, the demo's own {' and '.join(kinds)} lines", translate, own, show=given.show)
        report(
            f"{way}, guide sentences with unseen numbers", translate, turned(phrases.heldout_numbers()), show=given.show
        )
        report(f"{way}, patterns in unseen combinations", translate, turned(phrases.heldout()), show=given.show)


if __name__ == "__main__":
    main()
