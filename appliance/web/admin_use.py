"""How the box is used: questions by day and language, how long answers took, what people thought of them.

Counts only; no text of anybody. The plots are a few rectangles of SVG, so that no other tab carries a plotting library.
"""

import html
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from appliance.box import Box
from appliance.web.admin import admin_page
from appliance.web.frame import table
from appliance.web.records import latest
from appliance.web.strings import own_name

MOST_RECORDS = 5000
DAYS = 14
_COLOURS = ("#0f5c4d", "#b58900", "#0b4f8a", "#a40000", "#7b3fa0", "#5a6570")


def routes(box: Box) -> APIRouter:
    """``/admin/use``."""
    router = APIRouter()

    @router.get("/admin/use")
    def use(request: Request) -> HTMLResponse:
        chats = latest(box.log, "chat", MOST_RECORDS)
        days = Counter(
            (f"{datetime.fromtimestamp(record.wall_ms / 1000, UTC):%Y-%m-%d}", str(body["lang"]))
            for record, body in chats
        )
        waits = [float(body["usage"]["total_ms"]) / 1000 for _, body in chats]
        said = Counter(str(body.get("verdict", "")) for _, body in latest(box.log, "feedback", MOST_RECORDS))
        speeds: dict[str, list[float]] = {}
        for _, body in chats:
            if body["usage"]["total_ms"] and body["usage"]["generated_tokens"]:
                rate = 1000 * body["usage"]["generated_tokens"] / body["usage"]["total_ms"]
                speeds.setdefault(str(body["model"]), []).append(rate)
        models = [(name, len(rates), f"{statistics.median(rates):.1f}") for name, rates in sorted(speeds.items())]
        took = table(("Half within", "90 of 100", "99 of 100"), [percentiles(waits)])
        parts = (
            f"<h2>Questions a day</h2>{plot(days)}"
            f"<h2>Seconds to the whole answer</h2>{took}"
            f"<h2>Models</h2>{table(('Model', 'Answers', 'Tokens a second, median'), models, numbers=(1, 2))}"
            f"<h2>What people said</h2>{table(('This helped', 'This is wrong'), [(said['helped'], said['wrong'])])}"
            f'<p class="dim">From the last {len(chats)} questions, by the box\'s clock.</p>'
        )
        return admin_page(request, "/admin/use", parts)

    return router


def percentiles(seconds: Sequence[float]) -> tuple[str, str, str]:
    """The median, 90th and 99th percentile (nearest rank), as shown; dashes where there is nothing."""
    if not seconds:
        return ("–", "–", "–")
    ordered = sorted(seconds)
    rank = [ordered[max(0, -(-len(ordered) * share // 100) - 1)] for share in (50, 90, 99)]
    return (f"{rank[0]:.1f} s", f"{rank[1]:.1f} s", f"{rank[2]:.1f} s")


def plot(days: Mapping[tuple[str, str], int]) -> str:
    """Bars by (day, language), the newest ``DAYS`` days that have any, with a table of the same for who sees none."""
    shown = sorted({day for day, _ in days})[-DAYS:]
    langs = [lang for lang, _ in Counter({lang: 0 for _, lang in days}).most_common()]
    langs = sorted(langs, key=lambda lang: -sum(days.get((day, lang), 0) for day in shown))
    if not shown:
        return '<p class="dim">Nothing was asked yet.</p>'
    colours = {lang: _COLOURS[min(at, len(_COLOURS) - 1)] for at, lang in enumerate(langs)}
    most = max(sum(days.get((day, lang), 0) for lang in langs) for day in shown)
    bars = []
    for at, day in enumerate(shown):
        below = 100.0
        for lang in langs:
            height = 100 * days.get((day, lang), 0) / most
            below -= height
            if height:
                bars.append(
                    f'<rect x="{at * 20 + 2}" y="{below:.1f}" width="16" height="{height:.1f}" fill="{colours[lang]}"/>'
                )
    legend = " ".join(
        f'<span style="white-space:nowrap"><svg viewBox="0 0 10 10" width="14" height="14" aria-hidden="true">'
        f'<rect width="10" height="10" fill="{colours[lang]}"/></svg> {html.escape(own_name(lang))}</span>'
        for lang in langs
    )
    rows = [(day, *(days.get((day, lang), 0) for lang in langs)) for day in reversed(shown)]
    numbers = table(("Day", *map(own_name, langs)), rows, numbers=range(1, len(langs) + 1))
    return (
        f'<svg viewBox="0 0 {max(140, len(shown) * 20)} 102" role="img" aria-label="Questions a day, at most {most}" '
        f'style="width:100%;max-height:220px;border-block-end:2px solid var(--fp-soft)">{"".join(bars)}</svg>'
        f'<p class="dim">At most {most} a day. {legend}</p>{numbers}'
    )
