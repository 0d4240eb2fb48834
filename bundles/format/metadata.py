"""The readers' door to TUF: signed metadata in, names with length and SHA-256 out; every refusal names its file.

What TUF says is checked by python-tuf's client workflow. On a box four things are stricter or different on purpose, and
each is a rule that can be turned to the standard's way:

    no clock       a box has none to trust, so expiry never blocks; versions only grow
    Ed25519 only   one kind of key, verified in pure Python where there is no ``cryptography``; none under two names
    one spelling   metadata are accepted only as we write them, so that no byte is free to change
    a floor        versions kept apart from TUF's own files, which a power cut can empty

Source: the TUF specification 1.0.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, TargetFile
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from bundles.format.digest import is_digest
from bundles.format.errors import BundleError, DamagedFile, FormatRefused, MissingFile, TrustRefused
from bundles.format.layout import damaged, open_file
from bundles.format.manifest import Descriptor

REVOKED = "x-fieldpost-revoked"
"""Field of the targets role: signed name of a component to the reason why no box may use it."""
PUBLISHED = "x-fieldpost-published"
"""Field of the timestamp role: when it was signed, the only time that a box without a clock has."""
MAX_ROOT_BYTES = UpdaterConfig().root_max_length

# Expiry is compared with this, so that it never blocks: clocks start in 1970, or in whatever year a battery died.
_NO_CLOCK = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNATURE = re.compile(r"[0-9a-f]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_STICK = "stick:///"
_ANY_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions of the four top-level roles."""

    root: int = 0
    timestamp: int = 0
    snapshot: int = 0
    targets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """In what a reader is stricter than TUF, or different. The defaults are a box's."""

    clock: bool = False
    """Whether expiry is compared with this machine's clock."""
    every_key_type: bool = False
    """Whether RSA and ECDSA keys count too; needs ``cryptography``."""
    own_spelling: bool = True
    """Whether metadata must be written exactly as we write them."""


BOX = Rules()
STANDARD = Rules(clock=True, every_key_type=True, own_spelling=False)
"""TUF's own rules, as its conformance suite asks for them."""


class SignedMetadata:
    """The metadata of one repository, brought up to date and verified from the trusted root on."""

    def __init__(
        self, source: FetcherInterface, base: str, root: bytes | None, trust: Path, *, rules: Rules = BOX
    ) -> None:
        """Read root, timestamp, snapshot and targets.

        Args:
            source: gives bytes for addresses that begin with ``base``.
            root: the trusted root; None takes ``root.json`` out of ``trust``.
            trust: what was trusted last, brought up to date in place.

        Raises:
            TrustRefused, DamagedFile, MissingFile: the file is named.
            OSError: a medium cannot be read or written.
        """
        self._rules = rules
        self._trust = trust
        self._source = _Remembering(source, base)
        with self._in_words():
            self.updater = Updater(str(trust), base, fetcher=self._source, config=UpdaterConfig(), bootstrap=root)
            if not rules.clock:
                # ngclient has no public way to do without a clock; tuf's version is pinned and a test watches this.
                self.updater._trusted_set.reference_time = _NO_CLOCK
            self.updater.refresh()
        trusted = self.updater._trusted_set
        self.versions = Versions(
            root=trusted.root.version,
            timestamp=trusted.timestamp.version,
            snapshot=trusted.snapshot.version,
            targets=trusted.targets.version,
        )
        self.check_manner()
        self.revoked = _revoked(trusted.targets.unrecognized_fields.get(REVOKED, {}))
        self.published = _published(trusted.timestamp.unrecognized_fields.get(PUBLISHED, ""))

    @property
    def files_read(self) -> tuple[str, ...]:
        """Every file of metadata that was read from the source, relative to it."""
        return tuple(self._source.read)

    def find(self, name: str) -> TargetFile:
        """A target as TUF has it, through whichever delegation may sign it.

        Raises:
            TrustRefused: nobody who may has signed it.
            DamagedFile, MissingFile: a contributor's metadata.
        """
        with self._in_words():
            target = self.updater.get_targetinfo(name)
        if target is None:
            raise TrustRefused(f"{name} is not signed by anybody who may.", todo="Build the bundle again.")
        return target

    def target(self, name: str) -> Descriptor:
        """What is signed under a name, as our format has it; raises as ``find`` does.

        Raises:
            FormatRefused: it was signed without a SHA-256.
        """
        target = self.find(name)
        digest = f"sha256:{target.hashes.get('sha256')}"
        if not is_digest(digest):
            raise FormatRefused(f"{name} is signed without a SHA-256.", todo="Build the bundle again.")
        return Descriptor(media_type=_ANY_BYTES, digest=digest, size=target.length)

    def check_manner(self) -> None:
        """What has been read so far is written as we write it, with the kind of keys that we use.

        JSON says the same in many spellings, and a signature covers only the sense. With one spelling a flipped bit is
        found wherever it is, and nothing can hide in a verified file.
        """
        for name, data in self._source.read.items():
            metadata: Metadata[Any] = Metadata.from_bytes(data)
            if self._rules.own_spelling:
                signatures = json.loads(data)["signatures"]
                plain = all(_SIGNATURE.fullmatch(signature["sig"]) for signature in signatures)
                if not plain or metadata.to_bytes(JSONSerializer()) != data:
                    raise damaged(name)
            if not self._rules.every_key_type:
                _refuse_other_keys(name, metadata)

    def check_floor(self, floor: Versions) -> None:
        """Refuse what is older than the floor, a second memory besides TUF's own files.

        A role whose keys were replaced since begins anew: that is how an NGO recovers when somebody stole its key and
        signed a version that could not be surpassed. Source: TUF specification 1.0, 5.3.11.
        """
        for role, version in asdict(self.versions).items():
            if version < getattr(floor, role) and (role == "root" or not self._has_new_keys(role, floor.root)):
                raise _older(f"tuf/{role}")

    def _has_new_keys(self, role: str, since: int) -> bool:
        now = self.updater._trusted_set.root
        if not 0 < since < now.version:
            return False
        # Every root up to the present one was verified on the way and lies there.
        then = Metadata[Root].from_file(str(self._trust / "root_history" / f"{since}.root.json")).signed
        return not set(then.roles[role].keyids) & set(now.roles[role].keyids)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """TUF's errors in a technician's words, with the file that TUF does not name."""
        try:
            yield
        except exceptions.BadVersionNumberError as error:
            raise _older(self._source.last) from error
        except exceptions.UnsignedMetadataError as error:
            raise TrustRefused(
                f"{self._source.last} is damaged, or is not signed by a key that is trusted here.",
                todo="Copy the bundle again; if it stays, use a stick from your organisation.",
            ) from error
        except exceptions.DownloadHTTPError as error:
            raise MissingFile(f"{self._source.last} is missing.", todo="Copy the whole bundle again.") from error
        except DeserializationError as error:
            raise DamagedFile(
                f"{self._source.last} is damaged: it is no signed metadata.",
                todo="Copy the bundle again; if it stays, use a stick from your organisation.",
            ) from error
        except (exceptions.RepositoryError, exceptions.DownloadError, ValueError) as error:
            raise DamagedFile(f"{self._source.last} cannot be read: {error}.", todo="Copy the bundle again.") from error


def read_folder(folder: Path, root: bytes, trust: Path) -> SignedMetadata:
    """The metadata of a bundle on a medium, by a box's rules."""
    return SignedMetadata(_Folder(folder), f"{_STICK}tuf/", root, trust)


def _older(name: str) -> TrustRefused:
    return TrustRefused(
        f"{name} is older than what this box already has.",
        needed="A bundle is never replaced by an older one.",
        todo="Use the newest stick.",
    )


def _refuse_other_keys(name: str, metadata: Metadata[Any]) -> None:
    holder = metadata.signed if isinstance(metadata.signed, Root) else getattr(metadata.signed, "delegations", None)
    seen: set[str] = set()
    for key in holder.keys.values() if holder is not None else ():
        public = str(key.keyval.get("public")).lower()
        if public in seen:
            # A threshold counts names, so one key under two of them would count twice.
            raise TrustRefused(f"{name} names one key twice.", todo="Use a stick from your organisation.")
        seen.add(public)
        if (key.keytype, key.scheme) != ("ed25519", "ed25519"):
            raise TrustRefused(
                f"{name} names a key of the type {key.keytype}.",
                needed="A box takes Ed25519 keys only.",
                todo="Use a stick from your organisation.",
            )


def _revoked(raw: object) -> dict[str, str]:
    if not isinstance(raw, dict) or not all(isinstance(text, str) for pair in raw.items() for text in pair):
        raise FormatRefused("The signed list of revoked components is no list.", todo="Build the bundle again.")
    return dict(raw)


def _published(raw: object) -> str:
    if raw != "" and not (isinstance(raw, str) and _DATE.fullmatch(raw)):
        raise FormatRefused(f"The signed date is {str(raw)[:80]!r}.", todo="Build the bundle again.")
    return str(raw)


class _Remembering(FetcherInterface):
    """Keeps what was fetched, and its name: TUF's own errors name no file."""

    def __init__(self, source: FetcherInterface, base: str) -> None:
        self._source = source
        self._prefix = base.removesuffix("tuf/") if base.startswith(_STICK) else base
        self.last = f"{base.removeprefix(self._prefix)}1.root.json"
        self.read: dict[str, bytes] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(self._prefix)
        # A newer root is asked for until there is none; only then is a missing file our news.
        if not name.endswith(".root.json"):
            self.last = name
        pieces = []
        for piece in self._source.fetch(url):
            pieces.append(piece)
            yield piece
        self.last = name
        if name.endswith(".json"):
            self.read[name] = b"".join(pieces)


class _Folder(FetcherInterface):
    """Gives TUF its metadata files from a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_STICK)
        try:
            with open_file(self._root, name) as file:
                data = file.read(UpdaterConfig().targets_max_length + 1)
        except (BundleError, ValueError) as error:
            raise exceptions.DownloadHTTPError(f"{name} is missing", 404) from error
        yield data


def versions_from(raw: Mapping[str, object]) -> Versions:
    """Versions out of a JSON object.

    Raises:
        ValueError: a version is no whole number.
    """
    values = {role: raw.get(role, 0) for role in asdict(Versions())}
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values.values()):
        raise ValueError(f"versions {values!r}")
    return Versions(**values)  # type: ignore[arg-type]
