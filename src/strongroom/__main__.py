"""`python -m strongroom`: the same as the command `strongroom`."""

from strongroom.cli import main

if __name__ == "__main__":
    main()
