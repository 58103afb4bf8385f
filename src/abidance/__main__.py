"""Run the command line as `python -m abidance`. It owns nothing else."""

import sys

from abidance.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
