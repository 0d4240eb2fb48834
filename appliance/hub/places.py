"""Which database a hub's folder uses: SQLite beside it, or the PostgreSQL whose URL is in ``DIR/database``."""

from pathlib import Path

from appliance.errors import HubError
from appliance.files import write_private
from appliance.hub.database_sqlite import SqlitePlace
from appliance.hub.storage import Place

SQLITE = "sqlite"
_URLS = ("postgresql://", "postgres://")


def place_of(folder: Path) -> Place:
    """Where the hub in ``folder`` keeps its data.

    Raises:
        HubError: the file that says it cannot be read, or names no database.
    """
    path = _file(folder)
    try:
        return named(folder, path.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return SqlitePlace(folder=folder)
    except (OSError, UnicodeDecodeError) as error:
        raise HubError(f"{path} cannot be read: {error}.", todo="Bring it back from a backup.") from error


def named(folder: Path, url: str) -> Place:
    """The database that ``url`` names, for the hub in ``folder``.

    Raises:
        HubError: it names none, or what speaks to it is not installed.
    """
    if url == SQLITE:
        return SqlitePlace(folder=folder)
    if not url.startswith(_URLS):
        raise HubError(
            "This is no address of a database.",
            needed=f"Needed: {SQLITE}, or one that begins with postgresql://",
            todo="Such as postgresql://fieldpost@db.example.org/fieldpost",
        )
    try:
        from appliance.hub.database_postgres import PostgresPlace
    except ImportError as error:
        raise HubError(
            f"PostgreSQL cannot be spoken to: {error}.", todo='Install it: pip install "fieldpost[hub]"'
        ) from error
    return PostgresPlace(url=url)


def chosen(folder: Path) -> bool:
    """Whether the folder was told which database to use."""
    return _file(folder).exists()


def choose(folder: Path, url: str) -> None:
    """From now on the hub in ``folder`` uses that database. The file may hold a password: it is the owner's alone.

    Raises:
        HubError: the disk.
    """
    try:
        write_private(_file(folder), f"{url}\n".encode())
    except OSError as error:
        raise HubError(f"{_file(folder)} cannot be written: {error.strerror}.", todo="Free space.") from error


def _file(folder: Path) -> Path:
    return folder / "database"
