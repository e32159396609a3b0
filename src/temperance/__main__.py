"""``python -m temperance``, and ``torchrun ... -m temperance``."""

from temperance.cli import main

if __name__ == "__main__":
    main()
