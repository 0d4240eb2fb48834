"""The bundle format: what every reader of bundles shares, on the box, in the installer and on the workstation."""
