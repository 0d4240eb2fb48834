"""Zip archives as office files and books are: looked through before anything is read, never unpacked to a disk.

Refused are bombs, names that lead out of the archive, links, macros, locked members, and members twice.
"""

import zipfile
import zlib
from typing import BinaryIO

from appliance.knowledge.draft import Unreadable

MAX_MEMBERS = 20_000
MAX_MEMBER = 64 << 20
"""Bytes of one member that are read, unpacked."""
MAX_READ = 160 << 20
"""Bytes read from one archive altogether, unpacked."""
_MOST_RATIO = 250
"""Deflate reaches about a thousand on zeros; text in XML stays under a hundred."""
_RATIO_FROM = 1 << 20
_LINK = 0xA

_BROKEN = "Open it with the program that made it and save it again."


class Archive:
    """A zip file whose list of members is sound."""

    def __init__(self, file: BinaryIO) -> None:
        """Look through the list of members.

        Raises:
            Unreadable: it is no zip file, or one of the dangerous kinds.
        """
        try:
            # NotImplementedError is zipfile's word for a kind of archive, or of packing, that it does not know.
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise Unreadable(f"is damaged: {error}", _BROKEN) from error
        members = self._zip.infolist()
        if len(members) > MAX_MEMBERS:
            raise Unreadable(f"holds {len(members):,} parts; at most {MAX_MEMBERS:,} are read", _BROKEN)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            self._check(member)
            self._members[member.filename] = member
        self._left = MAX_READ

    def __contains__(self, name: str) -> bool:
        return name in self._members

    @property
    def names(self) -> list[str]:
        return list(self._members)

    def read(self, name: str) -> bytes:
        """One member, unpacked.

        Raises:
            Unreadable: it is missing, damaged, or larger than an honest one would be.
        """
        member = self._members.get(name)
        if member is None:
            raise Unreadable(f"lacks its part {name[:80]}", _BROKEN)
        try:
            with self._zip.open(member) as opened:
                # The size in the list is what the writer claims; what comes out is counted.
                data = opened.read(min(MAX_MEMBER, self._left) + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise Unreadable(f"is damaged: {error}", _BROKEN) from error
        except RuntimeError as error:
            raise Unreadable("is locked with a password", "Save it without a password.") from error
        self._left -= len(data)
        if len(data) > MAX_MEMBER or self._left < 0:
            raise Unreadable("unpacks to more than an honest document would", "Do not use it; ask where it is from.")
        return data

    def _check(self, member: zipfile.ZipInfo) -> None:
        name = member.filename
        shown = ascii(name[:80])
        if name in self._members:
            raise Unreadable(f"holds {shown} twice", _BROKEN)
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0] or "\0" in name:
            raise Unreadable(f"holds a part {shown} that leads out of it", "Do not use it; ask where it is from.")
        if name.casefold().endswith("vbaproject.bin"):
            raise Unreadable("holds macros, programs that run when it is opened", "Save it without macros, as .docx.")
        if member.external_attr >> 28 == _LINK:
            raise Unreadable(f"holds a link, {shown}", "Do not use it; ask where it is from.")
        if member.flag_bits & 1:
            raise Unreadable("is locked with a password", "Save it without a password.")
        if member.file_size > _RATIO_FROM and member.file_size > _MOST_RATIO * max(1, member.compress_size):
            raise Unreadable(
                f"is a bomb: {shown} would unpack to {member.file_size:,} bytes", "Do not use it; ask where it is from."
            )
