"""The Python client of the service (`client`), why a server cannot be used (`connection`), and one of its own
(`child`)."""
