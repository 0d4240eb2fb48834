"""Pictures of every view, from left and from right, on a phone and on a desk. ``scripts/screenshots`` runs it."""

import tempfile
from pathlib import Path

import click

from tests.support.site import installed_demo, serving
from tests.support.views import VIEWS, chromium

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
def main(folder: Path, langs: tuple[str, ...], scheme: str, wanted: tuple[str, ...]) -> None:
    """Make a picture of every view of the page on the demo's box.

    \b
    scripts/screenshots
    scripts/screenshots --lang ur --scheme dark --view answer
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="fieldpost-screenshots-") as fresh,
        serving("fieldpost", "--home", installed_demo(Path(fresh)).home) as box,
        chromium() as browser,
    ):
        for lang in langs:
            for size, (width, height) in SIZES.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height}, locale=lang, color_scheme=scheme
                )
                page = context.new_page()
                for view in VIEWS:
                    if not wanted or view.name in wanted:
                        view.reach(page, box.url, lang)
                        path = folder / f"{view.name}-{lang}-{size}-{scheme}.png"
                        page.screenshot(path=path, full_page=True)
                        click.echo(path)
                context.close()


if __name__ == "__main__":
    main()
