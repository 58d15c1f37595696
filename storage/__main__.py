"""Entry point of ``python -m storage``: the command line of :mod:`storage.cli`."""

import sys

from storage.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
