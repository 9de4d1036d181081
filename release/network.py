"""How tools say that a package index cannot be reached."""

from __future__ import annotations

SIGNS = (
    "error sending request",
    "dns error",
    "failed to establish a new connection",
    "connection refused",
    "name or service not known",
    "temporary failure in name resolution",
    "network is unreachable",
    "max retries exceeded",
    "unknown host",
    "could not transfer artifact",
    "could not connect",
    "network connectivity is disabled",
)
UNREACHABLE = "The package index cannot be reached; a release needs a network, look for a cable, a proxy or a firewall"


def unreachable(said: str) -> bool:
    """Whether what a tool printed means that there is no network.

    >>> unreachable("cause: error sending request for url (…)"), unreachable("No solution found")
    (True, False)
    """
    return any(sign in said.lower() for sign in SIGNS)
