"""Who may come in from the Wi-Fi: one access code for the site, made by the box, never a default.

On the box itself (a loopback address) there is no door. Names, roles and personal sign-in come in a later version;
this keeps passers-by out until then.
"""

import hmac
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

from appliance.files import write_private

SESSION_S = 12 * 3600.0
MOST_SESSIONS = 1000
FREE_TRIES = 5
LONGEST_WAIT_S = 300.0


def load_or_make_code(path: Path) -> str:
    """The site's code, eight random digits; made on first use and readable by the box's user only."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        code = f"{secrets.randbelow(10**8):08d}"
        write_private(path, f"{code}\n".encode())
        return code


class Door:
    """Checks codes and remembers who came in. Thread-safe; forgets everybody at a restart."""

    def __init__(self, code: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._code = code
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, float] = {}
        self._failures = 0
        self._closed_until = 0.0

    def wait_s(self) -> float:
        """Seconds until the next try is looked at; 0 when the door is free."""
        return max(0.0, self._closed_until - self._clock())

    def enter(self, code: str) -> str | None:
        """A new session token for the right code; ``None`` for a wrong one or while the door waits.

        After five wrong codes every further one doubles the wait, up to five minutes: eight digits last for years.
        """
        with self._lock:
            if self.wait_s() > 0:
                return None
            digits = "".join(str(unicodedata.decimal(c)) for c in code if c.isdecimal())  # any script's digits
            if not hmac.compare_digest(digits.encode(), self._code.encode()):
                self._failures += 1
                if self._failures >= FREE_TRIES:
                    wait = min(LONGEST_WAIT_S, 2.0 ** min(self._failures - FREE_TRIES, 10))
                    self._closed_until = self._clock() + wait
                return None
            self._failures = 0
            token = secrets.token_urlsafe(24)
            if len(self._sessions) >= MOST_SESSIONS:
                del self._sessions[min(self._sessions, key=self._sessions.__getitem__)]
            self._sessions[token] = self._clock()
            return token

    def admits(self, token: str) -> bool:
        """Whether this session is known and was used within twelve hours."""
        with self._lock:
            seen = self._sessions.get(token)
            if seen is None or self._clock() - seen > SESSION_S:
                self._sessions.pop(token, None)
                return False
            self._sessions[token] = self._clock()
            return True
