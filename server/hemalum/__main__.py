"""`python -m hemalum …`: the command line where the script is not on the path, as QuPath starts its own server."""

from hemalum.cli.main import main

if __name__ == "__main__":
    main()
