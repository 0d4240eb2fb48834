"""A job's snapshot as HTML fragments: pure, and the one place where texts meet markup, so all is escaped here.

``lang`` is always the language that the visitor sees the page in; the answer may be in another, ``snapshot.lang``.
"""

import html
import re
from dataclasses import replace
from urllib.parse import quote, urlencode

from appliance.exchange import Claim, Passage
from appliance.language.glossary import Glossary, Term, find
from appliance.web.jobs import Snapshot
from appliance.web.strings import attributes, counted, own_name, words

_CITATION = re.compile(r"\[(\d{1,2})\]")
REASONS = ("not-true", "not-answered", "unclear", "harmful", "language", "other")
"""Why an answer is wrong; each has its words, ``reason_NAME``."""
MOST_WORDS = 1000
"""Characters that a person may add to their reason."""


def source_url(passage: Passage) -> str:
    """Where the passage can be read in its document, marked."""
    place = urlencode({"start": passage.start, "end": passage.end})
    return f"/source/{quote(passage.docpack, safe='')}/{quote(passage.document, safe='')}?{place}#passage"


def error(message: str, details: str = "") -> str:
    """What went wrong in the visitor's words, and for the technician in the box's own."""
    return f'<p class="fp-error" role="alert">{html.escape(message)}</p>{details}'


def failure(kind: str, technical: str, lang: str) -> str:
    """An error of the box, by its kind (``jobs.kind_of``), with what it says itself to unfold."""
    said = words(lang)
    details = (
        f'<details class="fp-details"><summary>{html.escape(said["error_details"])}</summary>'
        f"<p {attributes('en')}>{html.escape(technical)}</p></details>"
    )
    return error(said[f"error_{kind}"], details)


def answer(snapshot: Snapshot, lang: str, terms: tuple[Term, ...] = ()) -> str:
    """Status line with the place in the queue, the answer so far with linked citations and terms to unfold, what to be
    careful about, and what was hidden."""
    said = words(lang)
    parts = [
        f'<p class="fp-question fp-print" {attributes(snapshot.lang)}>{html.escape(snapshot.question)}</p>',
        status(snapshot, lang),
        _crisis(snapshot, lang),
    ]
    if snapshot.error:
        parts.append(failure(snapshot.error_kind or "box", snapshot.error, lang))
    if snapshot.answer:
        text = _sentences(snapshot, terms)
        parts.append(f'<div class="fp-answer" {attributes(snapshot.lang)} aria-live="polite">{text}</div>')
    if snapshot.exchange:
        for flag in snapshot.exchange.flags:
            warned = said["flag_" + flag].format(name=own_name(snapshot.exchange.looks_like or snapshot.lang))
            parts.append(f'<p class="fp-flag">{html.escape(warned)}</p>')
        parts.append(_hidden(snapshot, lang))
    return "".join(parts)


def status(snapshot: Snapshot, lang: str) -> str:
    """What the box is doing; while others are served first, the place in the queue and the time to wait."""
    said = words(lang)
    told = [said[snapshot.state]]
    if snapshot.position:
        told.append(said["place"].format(number=snapshot.position))
        if snapshot.wait_s is not None:
            told.append(waiting(snapshot.wait_s, lang))
    return f'<p class="fp-status" role="status" data-state="{snapshot.state}">{html.escape(" ".join(told))}</p>'


def waiting(seconds: int, lang: str) -> str:
    """A waiting time as people say it: in fives of seconds, then in minutes."""
    if seconds < 60:
        return counted(lang, "wait_seconds", max(5, -(-seconds // 5) * 5))
    return counted(lang, "wait_minutes", -(-seconds // 60))


def tools(snapshot: Snapshot, lang: str) -> str:
    """Reading aloud, copying and printing; the page's script does them. Reading appears where a voice can do it."""
    if not snapshot.answer or not snapshot.over:
        return ""
    said = words(lang)
    return (
        f'<div class="fp-tools"><button type="button" class="fp-button fp-read" data-act="read" '
        f'data-voice="{html.escape(snapshot.lang)}" data-stop="{html.escape(said["read_stop"])}">'
        f"{html.escape(said['read_aloud'])}</button>"
        f'<button type="button" class="fp-button" data-act="copy" data-done="{html.escape(said["copied"])}">'
        f"{html.escape(said['copy'])}</button>"
        f'<button type="button" class="fp-button" data-act="print">{html.escape(said["print"])}</button></div>'
    )


def feedback(snapshot: Snapshot, lang: str, *, noted: bool = False) -> str:
    """Two forms that work without scripts: this helped, and this is wrong with a reason."""
    if not snapshot.answer or snapshot.state != "done":
        return ""
    said = {key: html.escape(text) for key, text in words(lang).items()}
    if noted:
        return f'<p class="fp-status" role="status">{said["thanks"]}</p>'
    start = f'<form method="post" action="/feedback/{snapshot.id}"><input type="hidden" name="verdict" value='
    reasons = "".join(
        f'<label><input type="radio" name="reason" value="{reason}"> {said[f"reason_{reason}"]}</label>'
        for reason in REASONS
    )
    return (
        f'<section class="fp-feedback" data-thanks="{said["thanks"]}"><h2 class="fp-heading">{said["feedback"]}</h2>'
        f'{start}"helped"><button class="fp-button">{said["helped"]}</button></form>'
        f'<details class="fp-wrong"><summary>{said["wrong"]}</summary>{start}"wrong">'
        f"<fieldset><legend>{said['wrong']}</legend>{reasons}</fieldset>"
        f'<label for="words-{snapshot.id}">{said["your_words"]}</label>'
        f'<textarea id="words-{snapshot.id}" name="words" rows="2" maxlength="{MOST_WORDS}"></textarea>'
        f'<button class="fp-button">{said["send"]}</button></form></details></section>'
    )


def original(snapshot: Snapshot, lang: str, working_lang: str) -> str:
    """What the model was asked and what it wrote, where that is not the asker's language; once the answer is whole,
    sentence beside sentence."""
    if snapshot.lang == working_lang or not snapshot.question_working:
        return ""
    if snapshot.help and not snapshot.answer:
        return ""  # a person in need is not shown how a machine misread their words
    said = words(lang)
    original_of = said["original"].format(name=own_name(working_lang))
    claims = snapshot.exchange.claims if snapshot.exchange else ()
    rows = [(said["understood"], _bare(snapshot.question_working, working_lang))]
    if claims:
        pairs = "".join(
            f'<div class="fp-pair"><p {attributes(snapshot.lang)}>{html.escape(claim.text.strip())}</p>'
            f"<p {attributes(working_lang)}>{html.escape(claim.text_working.strip())}</p></div>"
            for claim in claims
        )
        rows.append((said["beside"], f'<dd class="fp-pairs">{pairs}</dd>'))
    elif snapshot.answer_working:
        rows.append((original_of, _bare(snapshot.answer_working, working_lang)))
    body = "".join(f"<dt>{html.escape(label)}</dt>{value}" for label, value in rows)
    return f'<dl class="fp-original">{body}</dl>'


def sources(snapshot: Snapshot, lang: str) -> str:
    """The passages, each to unfold, and to open in its document; those that the answer cites are marked."""
    said = words(lang)
    if not snapshot.passages:
        nothing_found = snapshot.state == "done" and bool(snapshot.answer)
        return f"<p>{html.escape(said['no_sources'])}</p>" if nothing_found else ""
    cited = snapshot.exchange.cited if snapshot.exchange else ()
    items = "".join(
        f'<details class="fp-source"><summary>[{number}] <bdi>{html.escape(passage.title)} · '
        f"{html.escape(passage.heading)}</bdi>"
        + (f" · {html.escape(said['page'].format(number=passage.page))}" if passage.page else "")
        + (f" <strong>{html.escape(said['cited'])}</strong>" if number in cited else "")
        + f"</summary><blockquote {attributes(passage.lang)}>{html.escape(passage.text)}"
        f'</blockquote><a class="fp-open" href="{html.escape(source_url(passage))}" target="_blank" '
        f'rel="noopener">{html.escape(said["open"])}</a></details>'
        for number, passage in enumerate(snapshot.passages, start=1)
    )
    return f'<h2 class="fp-heading">{html.escape(said["sources"])}</h2>{items}'


def terms_of(snapshot: Snapshot, glossary: Glossary, working_lang: str) -> tuple[Term, ...]:
    """The glossary's terms that may be explained in this answer; none until it is whole."""
    if snapshot.exchange is None:
        return ()
    if snapshot.lang != working_lang:
        return tuple(glossary.terms(snapshot.lang, working_lang))
    return tuple(term for term in glossary.noted(snapshot.lang))


def _bare(text: str, lang: str) -> str:
    return f"<dd {attributes(lang)}>{html.escape(text)}</dd>"


def _crisis(snapshot: Snapshot, lang: str) -> str:
    """The site's own help for a person in need, above everything else; kind words where the site gave none."""
    if not snapshot.help:
        return ""
    said = words(lang)
    told = []
    for by_lang in snapshot.help:
        best = next((tag for tag in (lang, snapshot.lang, *by_lang) if tag in by_lang), None)
        if best is not None:
            told.append(f"<p {attributes(best)}>{html.escape(by_lang[best])}</p>")
    lead = said["crisis" if told else "crisis_nobody"]
    return f'<div class="fp-crisis" role="alert"><p>{html.escape(lead)}</p>{"".join(dict.fromkeys(told))}</div>'


def _hidden(snapshot: Snapshot, lang: str) -> str:
    hidden = snapshot.exchange.hidden if snapshot.exchange else {}
    if not hidden:
        return ""
    said = words(lang)
    kinds = ", ".join(said[f"kind_{kind}"] + (f" × {n}" if n > 1 else "") for kind, n in sorted(hidden.items()))
    return f'<p class="fp-status fp-hidden">{html.escape(said["hidden"])} {html.escape(kinds)}</p>'


def _sentences(snapshot: Snapshot, terms: tuple[Term, ...]) -> str:
    """The answer. Once it is whole, each sentence's mark opens that sentence's own place, and what the documents do not
    say is underlined."""
    claims = snapshot.exchange.claims if snapshot.exchange else ()
    left = list(terms)
    if "".join(claim.text for claim in claims).strip() != snapshot.answer:
        return _marked(snapshot.answer, snapshot, None, left)
    parts = []
    for claim in claims:
        body = claim.text.rstrip()
        marked = _marked(body, snapshot, claim, left)
        if not claim.supported:
            marked = f'<span class="fp-unsupported">{marked}</span>'
        parts.append(marked + html.escape(claim.text[len(body) :]))
    return "".join(parts).strip()


def _marked(text: str, snapshot: Snapshot, claim: Claim | None, left: list[Term]) -> str:
    """The text with each ``[n]`` that has a passage linked to it, at the sentence's own place if that is known, and
    each term that was not met before to unfold. Takes the terms it meets from ``left``."""
    parts = []
    at = 0
    for match in _CITATION.finditer(text):
        number = int(match[1])
        if 1 <= number <= len(snapshot.passages):
            parts.append(_explained(text[at : match.start()], snapshot.lang, left))
            passage = snapshot.passages[number - 1]
            if claim is not None and claim.passage == number:
                passage = replace(passage, start=claim.start, end=claim.end)
            url = html.escape(source_url(passage))
            parts.append(f'<a class="fp-cite" href="{url}" target="_blank" rel="noopener">[{number}]</a>')
            at = match.end()
    return "".join([*parts, _explained(text[at:], snapshot.lang, left)])


def _explained(text: str, lang: str, left: list[Term]) -> str:
    # A box to tick shows the meaning on every phone, without scripts and without breaking the line.
    parts = []
    at = 0
    for found in find(text, left, lang):
        if found.term not in left:
            continue
        left.remove(found.term)
        meaning = " · ".join(filter(None, [", ".join(found.term.target), found.term.note]))
        parts.append(
            f'{html.escape(text[at : found.start])}<label class="fp-term">{html.escape(text[found.start : found.end])}'
            f'<input type="checkbox"><span>{html.escape(meaning)}</span></label>'
        )
        at = found.end
    return "".join([*parts, html.escape(text[at:])])
