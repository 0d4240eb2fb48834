"""Kiwix files (ZIM): every article in them as a document of its own, for docpacks made on a workstation.

The sole importer of libzim, which is GPL-3.0-or-later: it comes with the extra ``zim`` only, and is never on a box.
"""

from collections.abc import Iterator
from pathlib import Path

from libzim.reader import Archive, set_cluster_cache_max_size

from appliance.knowledge.draft import Draft, Progress, Unreadable
from appliance.knowledge.parse_html import decode_html, read_html

MAX_ARTICLES = 100_000
MAX_ALL = 100_000_000
"""Characters of text in all articles together."""
_MAX_ARTICLE = 16 << 20
_CACHE = 16 << 20
_HTML = ("text/html", "application/xhtml+xml")


def parse_zim(path: Path, progress: Progress) -> Iterator[tuple[str, Draft]]:
    """Each article's path in the file and its text, in the file's order; redirects and empty articles are left out.

    Raises:
        Unreadable: it is damaged, or too much for one docpack.
    """
    set_cluster_cache_max_size(_CACHE)
    try:
        archive = Archive(path)
        count = archive.all_entry_count
        known = "Language" in archive.metadata_keys
        lang = bytes(archive.get_metadata("Language")).decode("ascii", "replace") if known else ""
        total = articles = 0
        for number in range(count):
            entry = archive._get_entry_by_id(number)
            progress(number + 1, count)
            if entry.is_redirect:
                continue
            item = entry.get_item()
            if not item.mimetype.startswith(_HTML) or item.size > _MAX_ARTICLE:
                continue
            draft = Draft()
            draft.lang = lang
            try:
                read_html(decode_html(bytes(item.content)), draft)
            except Unreadable:
                continue  # one article in an unknown encoding; the others are sound
            if draft.empty:
                continue
            draft.title = draft.title or entry.title
            total += len(draft.text)
            articles += 1
            if articles > MAX_ARTICLES or total > MAX_ALL:
                raise Unreadable(
                    f"holds more than {MAX_ARTICLES:,} articles or {MAX_ALL:,} characters",
                    "Take a smaller selection of it; Kiwix offers some by topic.",
                )
            yield entry.path, draft
    except (RuntimeError, KeyError, OSError) as error:
        raise Unreadable(f"is no Kiwix file that can be opened ({str(error)[:100]})", "Fetch it again.") from error
