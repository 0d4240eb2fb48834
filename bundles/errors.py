"""What the workstation refuses, and how it says so; the errors of reading a bundle are in ``bundles.format.errors``.

BundleError (bundles.format.errors)
├── RecipeError       the recipe is not one, or names what is not there
├── LockError         the lock is missing, or no longer what the recipe and the files say
├── FetchError        a file could not be fetched whole
├── RegistryError     the registry refuses us, or does not hold what it should
├── IndexFailed       ``fieldpost index`` did not make a document index
├── PackageRefused    a contributor's package holds what they may not sign, or is not signed by them
├── RuntimeFailed     the programs of a box could not be put together
├── TrialFailed       a bundle could not be tried out on this machine
├── SigningError      the signing folder or its passphrase is not usable
├── UpdateError       no box could go from the one bundle to the other
└── StickError        the stick cannot take the bundle, or gave back other bytes than were written
"""

from bundles.format.errors import BundleError


class RecipeError(BundleError):
    """The recipe is not one, or names what is not there."""


class LockError(BundleError):
    """The lock is missing, or no longer what the recipe and the files say."""


class FetchError(BundleError):
    """A file could not be fetched whole."""


class RegistryError(BundleError):
    """The registry refuses us, or does not hold what it should."""


class IndexFailed(BundleError):
    """``fieldpost index`` did not make a document index."""


class PackageRefused(BundleError):
    """A contributor's package holds what they may not sign, or is not signed by them."""


class RuntimeFailed(BundleError):
    """The programs of a box could not be put together."""


class TrialFailed(BundleError):
    """A bundle could not be tried out on this machine."""


class SigningError(BundleError):
    """The signing folder or its passphrase is not usable."""


class UpdateError(BundleError):
    """No box could go from the one bundle to the other."""


class StickError(BundleError):
    """The stick cannot take the bundle, or gave back other bytes than were written."""
