"""Run the command line as `python -m abidance`. It owns nothing else."""

from abidance.cli.main import main

if __name__ == "__main__":
    main()
