"""``fieldpost documents``: what was added to this box beside its release. What is done is ``knowledge.library``'s."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.command import Speaks, home_option, json_option, progress_bar
from appliance.config import Home, load_config
from appliance.errors import FieldpostError

if TYPE_CHECKING:
    from appliance.knowledge.library import Library

_PARTS = 1000


@click.group(cls=Speaks)
def documents() -> None:
    """Documents of this site, beside those that the bundle brought. A running box answers from them at once.

    \b
    fieldpost documents add plan.pdf --home /srv/fieldpost
    fieldpost documents list --home /srv/fieldpost
    fieldpost documents remove plan.pdf --home /srv/fieldpost
    """


@documents.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@home_option
@click.option("--language", help="Language of these documents, such as sw. Default: found from their words.")
@click.option(
    "--ocr", is_flag=True, help="Recognise the text of scanned PDFs, with tesseract; seconds to minutes a page."
)
def add(files: tuple[Path, ...], home: Path, language: str | None, ocr: bool) -> None:
    """Read documents and answer from them. A file of the same name takes the old one's place.

    Each is read in a process with few rights, and only when nobody else needs the processor.

    \b
    fieldpost documents add plan.pdf stock.xlsx --home /srv/fieldpost
    fieldpost documents add mpango.docx --language sw --home /srv/fieldpost
    """
    from appliance.knowledge.ingest import Reader
    from appliance.language.detect import detect
    from appliance.release import load_release

    site = load_release(Home(root=home)).languages
    refused = 0
    with (
        _library(home) as library,
        Reader(ocr=ocr, detect=None if language else lambda text: detect(text, site)) as reader,
    ):
        for file in files:
            try:
                with progress_bar(_PARTS, file.name) as bar:

                    def told(done: int, of: int, bar: Any = bar) -> None:
                        bar.update(done * _PARTS // of - bar.pos)

                    notes = library.add(file, reader, lang=language, told=told)
            except FieldpostError as error:
                refused += 1
                click.echo(f"Error: {error}", err=True)
                continue
            click.echo(f"Added {file.name}.")
            for note in notes:
                click.echo(f"Note: {note}", err=True)
    if refused:
        sys.exit(1)


@documents.command()
@click.argument("names", nargs=-1, required=True)
@home_option
def remove(names: tuple[str, ...], home: Path) -> None:
    """Take documents out, by the name that ``list`` shows.

    \b
    fieldpost documents remove plan.pdf --home /srv/fieldpost
    """
    with _library(home) as library:
        for name in names:
            library.remove(name)
            click.echo(f"Removed {name}.")


@documents.command("list")
@home_option
@json_option
def list_documents(home: Path, as_json: bool) -> None:
    """Show the documents that were added.

    \b
    fieldpost documents list --home /srv/fieldpost
    """
    with _library(home) as library:
        found = library.documents()
    if as_json:
        click.echo(json.dumps({"documents": [asdict(one) for one in found]}, ensure_ascii=False))
        return
    for one in found:
        pages = f"{one.pages} pages, " if one.pages else ""
        click.echo(f"{one.name}  ({one.title}; {one.lang}, {pages}{one.characters:,} characters)")
        for note in one.notes:
            click.echo(f"  Note: {note}")
    if not found:
        click.echo("No documents were added to this box.")


@contextmanager
def _library(home: Path) -> "Iterator[Library]":
    from appliance.box import release_embedder
    from appliance.knowledge.library import Library
    from appliance.release import load_release

    place = Home(root=home)
    release = load_release(place)
    place.prepare_data()
    with release_embedder(load_config(place), release) as embedder:
        yield Library(place.documents, lang=release.documents_lang, embedder=embedder)
