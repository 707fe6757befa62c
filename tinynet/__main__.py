"""``python -m tinynet``: the command, for where scripts are not on the path."""

import sys

from tinynet.cli import main

if __name__ == "__main__":
    sys.exit(main())
