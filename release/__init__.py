"""Builds `dist/`, all that a release consists of: `python -m release --help`, or `make release`.

The version is `hemalum.__version__`, the text is its section of `CHANGELOG.md`, and the files are those of the last
commit: everything is built in an export of it, so that nothing that lies about in the working tree gets in.
"""
