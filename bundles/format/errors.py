"""What a reader of bundles refuses, and how it says so.

BundleError
├── FormatRefused   a manifest, an index or a path breaks a rule of the format
├── TrustRefused    not signed by whom this box trusts, or older than what it has
├── LicenceRefused  this may not be passed on, or nobody has decided that it may
├── ScanRefused     a file is not what it claims, or is of a kind that can run code
├── DamagedFile     a file's bytes are not the signed ones
└── MissingFile     a file that the bundle names is not there
"""


class BundleError(Exception):
    """What was found, what was needed, what to do next: three short sentences a technician understands."""

    def __init__(self, found: str, *, needed: str = "", todo: str = "") -> None:
        self.found = found
        self.needed = needed
        self.todo = todo
        super().__init__(" ".join(part for part in (found, needed, todo) if part))


class FormatRefused(BundleError):
    """A manifest, an index or a path breaks a rule of the format."""


class TrustRefused(BundleError):
    """Not signed by whom this box trusts, or older than what it has."""


class LicenceRefused(BundleError):
    """This may not be passed on, or nobody has decided that it may."""


class ScanRefused(BundleError):
    """A file is not what it claims, or is of a kind that can run code."""


class DamagedFile(BundleError):
    """A file's bytes are not the signed ones."""


class MissingFile(BundleError):
    """A file that the bundle names is not there."""
