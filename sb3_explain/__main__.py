"""``python -m sb3_explain``, the same as ``sb3-explain``."""

import sys

from sb3_explain.cli import main

sys.exit(main())
