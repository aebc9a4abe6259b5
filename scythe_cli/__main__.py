"""`python -m scythe_cli`: the command, where no `scythe` is on the PATH."""

from scythe_cli.cli.app import main

if __name__ == "__main__":
    main()
