"""Pictures of every view, from left and from right, on a phone and on a desk. ``scripts/screenshots`` runs it."""

import tempfile
from pathlib import Path
from typing import Literal

import click

from tests.support.site import installed_demo
from tests.support.views import VIEWS, chromium, peopled, visiting

SIZES = {"phone": (360, 740), "desktop": (1280, 800)}


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/screenshots"), show_default=True)
@click.option(
    "--lang", "langs", multiple=True, default=("sw", "ar"), show_default=True, help="Of the page; repeatable."
)
@click.option("--scheme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
@click.option(
    "--view", "wanted", multiple=True, type=click.Choice([v.name for v in VIEWS]), help="Only this; repeatable."
)
@click.option("--size", "wanted_sizes", multiple=True, type=click.Choice(list(SIZES)), help="Only this; repeatable.")
def main(
    folder: Path,
    langs: tuple[str, ...],
    scheme: Literal["light", "dark"],
    wanted: tuple[str, ...],
    wanted_sizes: tuple[str, ...],
) -> None:
    """Make a picture of every view of the page on the demo's box.

    \b
    scripts/screenshots
    scripts/screenshots --lang ur --scheme dark --view answer
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="fieldpost-screenshots-") as fresh,
        tempfile.TemporaryDirectory(prefix="fieldpost-peopled-") as copy,
        peopled(installed_demo(Path(fresh)), Path(copy)) as box,
        chromium() as browser,
    ):
        for lang in langs:
            for size in wanted_sizes or SIZES:
                width, height = SIZES[size]
                with visiting(browser, box, lang, scheme=scheme, width=width, height=height) as visit:
                    for view in VIEWS:
                        if not wanted or view.name in wanted:
                            path = folder / f"{view.name}-{lang}-{size}-{scheme}.png"
                            visit(view).screenshot(path=path, full_page=True)
                            click.echo(path)


if __name__ == "__main__":
    main()
