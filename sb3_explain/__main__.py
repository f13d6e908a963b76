"""``python -m sb3_explain``, the same as ``sb3-explain``."""

import sys

from sb3_explain.cli import main

if __name__ == "__main__":
    sys.exit(main())
