"""``python -m tfedge``."""

import sys

from tfedge.cli import main

sys.exit(main())
