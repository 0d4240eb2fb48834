"""Files of thresholds, which make an evaluation set a bundle's canary: the least that a box must reach with a model.

``fieldpost eval --record`` writes them, and the installer's self-test hands them to ``fieldpost eval --thresholds``.
"""

import json
from collections.abc import Collection

from bundles.format.errors import ScanRefused

FORMAT = 1


def check_thresholds(text: str, name: str, *, set_name: str, languages: Collection[str]) -> None:
    """Check that a file holds thresholds of this set, for each of the site's languages.

    Raises:
        ScanRefused: it does not.
    """
    todo = "Record them anew: fieldpost-bundle measure"
    try:
        raw = json.loads(text)
        measured_on, least, model = raw["set"], raw["least"], raw["model"]
        if raw["format"] != FORMAT or not isinstance(least, dict) or not isinstance(model, str):
            raise ValueError("of another format")
    except (ValueError, KeyError, TypeError) as error:
        raise ScanRefused(f"{name} is no file of thresholds: {error!r}.", todo=todo) from error
    if measured_on != set_name:
        raise ScanRefused(f"{name} was recorded on the set {measured_on}.", needed=f"{set_name} is needed.", todo=todo)
    missing = sorted(set(languages) - set(least))
    if missing:
        raise ScanRefused(
            f"{name} has no thresholds in {', '.join(missing)}.",
            needed="A release is tried out in each of the site's languages.",
            todo="Add questions in these languages to the set; then " + todo[0].lower() + todo[1:],
        )
