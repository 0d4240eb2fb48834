"""From a stick to a release on a box: verify, copy, activate. Ships as installer.pyz and runs on bare Python."""

__version__ = "0.1.0"
