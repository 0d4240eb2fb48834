"""Letters out of pictures of pages, by Debian's ``tesseract`` as a process. Optional: a box need not have it.

What it is given are pixels that our own child has drawn, never the file from outside.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from appliance.errors import KnowledgeError
from appliance.knowledge.draft import BLOCK, WORD, Draft

_MEMORY = 1 << 30
_CPU_S = 120
"""Of one page; a Raspberry Pi takes some twenty."""
_WALL_S = 3600
_BROKEN = re.compile(r"(?<=[^\W\d_])-$")


class Recogniser:
    """Reads pictures of pages in one language."""

    def __init__(self, lang: str, names: Mapping[str, str], *, idle: bool) -> None:
        """Look for tesseract and for the language.

        Args:
            lang: BCP 47 primary tag.
            names: tag to tesseract's name of a language, where these differ.

        Raises:
            KnowledgeError: one of them is not installed.
        """
        self._program = shutil.which("tesseract") or ""
        self._lang = names.get(lang, lang)
        self._idle = idle
        package = f"tesseract-ocr-{self._lang}"
        if not self._program:
            raise KnowledgeError(
                "Text in pictures cannot be recognised: tesseract is not installed.",
                todo=f"Where there is internet: sudo apt install tesseract-ocr {package}",
            )
        known = self._run("--list-langs").split("\n")[1:]
        if self._lang not in known:
            raise KnowledgeError(
                f"tesseract does not know the language {self._lang}.",
                needed=f"It knows: {', '.join(name for name in known if name not in ('', 'osd')) or 'none'}.",
                todo=f"Where there is internet: sudo apt install {package}",
            )

    def read(self, picture: Path, draft: Draft) -> None:
        """Append a page's text to a draft.

        Raises:
            KnowledgeError: tesseract failed.
        """
        draft.page()
        before = BLOCK
        for line in self._run(str(picture), "stdout", "-l", self._lang).replace("\f", "").split("\n"):
            if not line.strip():
                before = BLOCK
                continue
            words = line.strip()
            draft.add(_BROKEN.sub("", words), before)
            before = "" if _BROKEN.search(words) else WORD

    def _run(self, *words: str) -> str:
        command = ["prlimit", f"--as={_MEMORY}", f"--cpu={_CPU_S}", "--core=0", self._program, *words]
        if self._idle:
            command = ["chrt", "--idle", "0", *command]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "OMP_THREAD_LIMIT": "1"}
        try:
            done = subprocess.run(  # noqa: S603  (no shell; our own words and a picture of ours)
                command, capture_output=True, stdin=subprocess.DEVNULL, env=environment, timeout=_WALL_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KnowledgeError(f"tesseract did not run: {error}.", todo="Try again without --ocr.") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise KnowledgeError(
                f"tesseract failed ({done.returncode}): {said[-1][:200] if said else 'no words'}.",
                todo="Try again without --ocr.",
            )
        return done.stdout.decode("utf-8", "replace")
