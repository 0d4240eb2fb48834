"""Progress bars for long work: with rate and time left on a terminal, silent elsewhere."""

from typing import Any

from tqdm import tqdm


def byte_bar(label: str, total: int, *, start: int = 0) -> Any:
    """A tqdm bar over bytes; ``disable=None`` makes it silent when standard error is no terminal."""
    return tqdm(desc=label, total=total, initial=start, unit="B", unit_scale=True, disable=None, leave=False)
