"""``python3 installer.pyz``."""

import sys

from installer.cli import main

sys.exit(main())
