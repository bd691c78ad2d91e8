"""``python -m cmhot`` is the same as ``cmhot``."""

from cmhot.cli import main

if __name__ == "__main__":
    main()
