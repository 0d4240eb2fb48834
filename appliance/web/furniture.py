"""What stands around a question and its answer, as HTML fragments: heading, languages, topics, links. Pure."""

import html
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlencode

from appliance.web.strings import attributes, own_name, words
from appliance.web.topics import Topic
from appliance.web.visitor import offered


def title(bundle: str) -> str:
    """The page's heading."""
    return f'<h1 class="fp-title">Fieldpost</h1><p class="fp-status">{html.escape(bundle)}</p>'


def languages(lang: str, site: tuple[str, ...], href: Callable[[str], str]) -> str:
    """The switch: each language by its own name, the site's first, the others to unfold; and what the box answers in,
    where that is not what the visitor reads."""
    said = words(lang)
    here = ' aria-current="true"'
    links = {
        other: f'<a href="{html.escape(href(other))}" {attributes(other)} hreflang="{html.escape(other)}"'
        f"{here if other == lang else ''}>{html.escape(own_name(other))}</a>"
        for other in offered(site)
    }
    first = "".join(link for other, link in links.items() if other in site or other == lang)
    more = "".join(link for other, link in links.items() if other not in site and other != lang)
    note = ""
    if lang not in site:
        # Each name isolated, because names in other scripts stand in one sentence.
        names = ", ".join(f"<bdi>{html.escape(own_name(other))}</bdi>" for other in site)
        note = f'<p class="fp-status">{html.escape(said["answers_in"]).format(names=names)}</p>'
    unfold = f"<details><summary>{html.escape(said['more_languages'])}</summary>{more}</details>" if more else ""
    label = html.escape(said["language"])
    return f'<nav class="fp-languages" aria-label="{label}">{first}{unfold}</nav>{note}'


def notice(mode: str, lang: str) -> str:
    """What the page says of the box's mode; nothing in the normal one."""
    said = words(lang).get(f"mode_{mode}", "")
    return f'<p class="fp-flag" role="status">{html.escape(said)}</p>' if said else ""


def topics(shown: Sequence[Topic], lang: str, site: tuple[str, ...], *, links: bool) -> str:
    """Questions to choose from: those in the visitor's language, or in the site's where the box does not answer in it.

    ``links`` makes them links to the plain page; else they are buttons for the page's script.
    """
    asked = lang if lang in site else site[0]
    parts = []
    for topic in shown:
        questions = topic.questions.get(asked, ())
        if questions:
            title, title_lang = topic.titled(asked)
            cards = "".join(_card(question, asked, links=links) for question in questions)
            parts.append(
                f'<details class="fp-topic"><summary><bdi {attributes(title_lang)}>{html.escape(title)}</bdi></summary>'
                f'<div class="fp-cards">{cards}</div></details>'
            )
    if not parts:
        return ""
    heading = html.escape(words(lang)["topics"])
    return f'<section class="fp-topics"><h2 class="fp-heading">{heading}</h2>{"".join(parts)}</section>'


def foot(lang: str) -> str:
    """The ways to one's own account, the page without scripts and what is installed."""
    said = words(lang)
    return (
        f'<p class="fp-foot"><a href="/me">{html.escape(said["in_me"])}</a> '
        f'<a href="/lite?lang={html.escape(quote(lang))}">{html.escape(said["lite"])}</a> '
        f'<a href="/cards?lang={html.escape(quote(lang))}">{html.escape(said["cards"])}</a></p>'
    )


def _card(question: str, lang: str, *, links: bool) -> str:
    text = html.escape(question)
    if links:
        return (
            f'<a class="fp-card" href="/lite?{html.escape(urlencode({"q": question}))}" {attributes(lang)}>{text}</a>'
        )
    return f'<button type="button" class="fp-card" data-act="preset" {attributes(lang)}>{text}</button>'
