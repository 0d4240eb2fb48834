"""What the installer refuses besides what the bundle format refuses, and how it says so.

BundleError (bundles.format.errors)
├── HomeRefused     HOME is in use, trusts another organisation, or is no place to install to
├── NotConfirmed    nobody said that the stick's fingerprint is the right one
├── NotReady        this box lacks something that the bundle needs
├── NoSpace         the disk is too full; nothing was written
├── SourceDamaged   some files of the stick are damaged or missing; each is named
├── SelfTestFailed  the new release does not start here, or answers worse than it may
└── DiskLies        the box's own disk gave back other bytes than were written
"""

from dataclasses import dataclass

from bundles.format.errors import BundleError


class HomeRefused(BundleError):
    """HOME is in use, trusts another organisation, or is no place to install to."""


class NotConfirmed(BundleError):
    """Nobody said that the stick's fingerprint is the right one."""


class NotReady(BundleError):
    """This box lacks something that the bundle needs; nothing was written."""


class NoSpace(BundleError):
    """The disk is too full; nothing was written."""


class SourceDamaged(BundleError):
    """Some files of the stick are damaged or missing; each is named."""


class SelfTestFailed(BundleError):
    """The new release does not start here, or answers worse than it may; it is kept and not used."""


class DiskLies(BundleError):
    """The box's own disk gave back other bytes than were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was noticed about a box before anything is copied."""

    found: str
    needed: str = ""
    todo: str = ""
    stops: type[BundleError] | None = None
    """The error that it is; None where it is only worth knowing."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.found, self.needed, self.todo)))


def refuse(findings: list[Finding]) -> None:
    """Raise all that stop an installation as one error, so that nobody meets them one after the other.

    Raises:
        BundleError: the finding's own kind where there is one, else NotReady with all of them.
    """
    stopping = [(finding, finding.stops) for finding in findings if finding.stops is not None]
    if len(stopping) == 1:
        finding, kind = stopping[0]
        raise kind(finding.found, needed=finding.needed, todo=finding.todo)
    if stopping:
        told = "".join(f"\n  {number}. {finding}" for number, (finding, _) in enumerate(stopping, start=1))
        raise NotReady(f"{len(stopping)} things stand in the way:{told}")
