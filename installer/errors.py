"""What the installer refuses besides what the bundle format refuses, and how it says so.

BundleError (bundles.format.errors)
├── HomeRefused     HOME is in use, trusts another organisation, or is no place to install to
├── NotConfirmed    nobody said that the stick's fingerprint is the right one
├── NoSpace         the disk is too full; nothing was written
├── SourceDamaged   some files of the stick are damaged or missing; each is named
└── DiskLies        the box's own disk gave back other bytes than were written
"""

from bundles.format.errors import BundleError


class HomeRefused(BundleError):
    """HOME is in use, trusts another organisation, or is no place to install to."""


class NotConfirmed(BundleError):
    """Nobody said that the stick's fingerprint is the right one."""


class NoSpace(BundleError):
    """The disk is too full; nothing was written."""


class SourceDamaged(BundleError):
    """Some files of the stick are damaged or missing; each is named."""


class DiskLies(BundleError):
    """The box's own disk gave back other bytes than were written."""
