"""A job's snapshot as HTML fragments: pure, and the one place where texts meet markup, so all is escaped here."""

import html
import re
from dataclasses import replace
from urllib.parse import quote, urlencode

from appliance.errors import FieldpostError, Paused
from appliance.exchange import Claim, Passage
from appliance.web.jobs import Snapshot
from appliance.web.strings import attributes, own_name, words

_CITATION = re.compile(r"\[(\d{1,2})\]")


def source_url(passage: Passage, lang: str) -> str:
    """Where the passage can be read in its document, marked."""
    place = urlencode({"start": passage.start, "end": passage.end, "lang": lang})
    return f"/source/{quote(passage.docpack, safe='')}/{quote(passage.document, safe='')}?{place}#passage"


def title(bundle: str) -> str:
    """The page's heading."""
    return f'<h1 class="fp-title">Fieldpost</h1><p class="fp-status">{html.escape(bundle)}</p>'


def plain_page(lang: str) -> str:
    """The ways to the page without scripts, and to what is installed and under which licences."""
    text, tag = words(lang), html.escape(lang)
    return (
        f'<p><a class="fp-open" href="/lite?lang={tag}">{html.escape(text["lite"])}</a></p>'
        f'<p><a class="fp-open" href="/cards?lang={tag}">{html.escape(text["cards"])}</a></p>'
    )


def error(message: str) -> str:
    """What went wrong, in the error's own words."""
    return f'<p class="fp-error" role="alert">{html.escape(message)}</p>'


def refusal(error_met: FieldpostError, lang: str) -> str:
    """Why a question was not taken: in the reader's language where the box pauses, else in the error's own words."""
    return words(lang)["mode_pause"] if isinstance(error_met, Paused) else str(error_met)


def notice(mode: str, lang: str) -> str:
    """What the page says of the box's mode; nothing in the normal one."""
    said = words(lang).get(f"mode_{mode}", "")
    return f'<p class="fp-flag" role="status" {attributes(lang)}>{html.escape(said)}</p>' if said else ""


def answer(snapshot: Snapshot) -> str:
    """Status line, the answer so far with linked citations, and what to be careful about."""
    text = words(snapshot.lang)
    status = text[snapshot.state]
    parts = [f'<p class="fp-status" role="status" data-state="{snapshot.state}">{html.escape(status)}</p>']
    if snapshot.error:
        parts.append(error(snapshot.error))
    if snapshot.answer:
        parts.append(
            f'<div class="fp-answer" {attributes(snapshot.lang)} aria-live="polite">{_sentences(snapshot)}</div>'
        )
    if snapshot.exchange:
        for flag in snapshot.exchange.flags:
            said = text["flag_" + flag].format(name=own_name(snapshot.exchange.looks_like or snapshot.lang))
            parts.append(f'<p class="fp-flag">{html.escape(said)}</p>')
    return "".join(parts)


def original(snapshot: Snapshot, working_lang: str) -> str:
    """What the model was asked and what it wrote, where that is not the asker's language."""
    if snapshot.lang == working_lang or not snapshot.question_working:
        return ""
    text = words(snapshot.lang)
    name = own_name(working_lang)
    rows = [(text["understood"], snapshot.question_working)]
    if snapshot.answer_working:
        rows.append((text["original"].format(name=name), snapshot.answer_working))
    body = "".join(
        f"<dt>{html.escape(label)}</dt><dd {attributes(working_lang)}>{html.escape(value)}</dd>"
        for label, value in rows
    )
    return f'<dl class="fp-original">{body}</dl>'


def sources(snapshot: Snapshot) -> str:
    """The passages, each to unfold, and to open in its document; those that the answer cites are marked."""
    text = words(snapshot.lang)
    if not snapshot.passages:
        return f"<p>{html.escape(text['no_sources'])}</p>" if snapshot.state == "done" else ""
    cited = snapshot.exchange.cited if snapshot.exchange else ()
    items = "".join(
        f'<details class="fp-source"><summary>[{number}] {html.escape(passage.title)} · '
        f"{html.escape(passage.heading)}"
        + (f" · {html.escape(text['page'].format(number=passage.page))}" if passage.page else "")
        + (f" <strong>{html.escape(text['cited'])}</strong>" if number in cited else "")
        + f"</summary><blockquote {attributes(passage.lang)}>{html.escape(passage.text)}"
        f'</blockquote><a class="fp-open" href="{html.escape(source_url(passage, snapshot.lang))}" target="_blank" '
        f'rel="noopener">{html.escape(text["open"])}</a></details>'
        for number, passage in enumerate(snapshot.passages, start=1)
    )
    return f"<h3>{html.escape(text['sources'])}</h3>{items}"


def _sentences(snapshot: Snapshot) -> str:
    """The answer. Once it is whole, each sentence's mark opens that sentence's own place, and what the documents do not
    say is underlined."""
    claims = snapshot.exchange.claims if snapshot.exchange else ()
    if "".join(claim.text for claim in claims).strip() != snapshot.answer:
        return _cited(snapshot.answer, snapshot, None)
    parts = []
    for claim in claims:
        body = claim.text.rstrip()
        marked = _cited(body, snapshot, claim)
        if not claim.supported:
            marked = f'<span class="fp-unsupported">{marked}</span>'
        parts.append(marked + html.escape(claim.text[len(body) :]))
    return "".join(parts).strip()


def _cited(answer_text: str, snapshot: Snapshot, claim: Claim | None) -> str:
    """The text with each ``[n]`` that has a passage linked to it, at the sentence's own place if that is known."""

    def link(match: re.Match[str]) -> str:
        number = int(match[1])
        if not 1 <= number <= len(snapshot.passages):
            return match[0]
        passage = snapshot.passages[number - 1]
        if claim is not None and claim.passage == number:
            passage = replace(passage, start=claim.start, end=claim.end)
        url = html.escape(source_url(passage, snapshot.lang))
        return f'<a class="fp-cite" href="{url}" target="_blank" rel="noopener">[{number}]</a>'

    # Escaping leaves brackets and digits alone, so the marks can be found afterwards.
    return _CITATION.sub(link, html.escape(answer_text))
