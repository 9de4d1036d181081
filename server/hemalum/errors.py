"""One exception tree; each class is mapped once to an exit code and a gRPC status.

Every message is one sentence that says what is wrong and what to do.  Exit codes: 2 = wrong before the first tile,
1 = lost in mid-run, 3 = part of the work failed.

>>> UnknownResolution("slide.png has no resolution; give it with --mpp 0.25").exit_code
2
"""

from __future__ import annotations


class HemalumError(Exception):
    """Base of all errors a user may see.

    Attributes:
        exit_code: process exit code of the command line.
        grpc_status: name of the `grpc.StatusCode` the service answers with.
    """

    exit_code = 2
    grpc_status = "INVALID_ARGUMENT"


class UsageError(HemalumError):
    """An option or a request that cannot be carried out as given."""


class UnreadableImage(HemalumError):
    """Missing, empty, truncated, or not an image that can be read."""


class MissingImage(UnreadableImage):
    """No file of this path where the server may read."""

    grpc_status = "NOT_FOUND"


class UnsupportedImage(HemalumError):
    """A readable image of a kind we refuse: 16-bit, fluorescence, CMYK, a rotated project entry."""


class UnknownResolution(HemalumError):
    """The file states no µm/px and none was given."""

    grpc_status = "FAILED_PRECONDITION"


class RegionOutside(HemalumError):
    """A region that does not touch the image."""

    grpc_status = "OUT_OF_RANGE"


class UnknownModel(HemalumError):
    """No model of this id in any model folder."""

    grpc_status = "NOT_FOUND"


class DamagedModel(HemalumError):
    """A model file whose sha256 differs from its card, or a card that does not follow the contract."""

    grpc_status = "DATA_LOSS"


class NotWritable(HemalumError):
    """The output folder cannot be written."""

    grpc_status = "PERMISSION_DENIED"


class Unauthenticated(HemalumError):
    """Token missing or wrong."""

    grpc_status = "UNAUTHENTICATED"


class NotAllowed(HemalumError):
    """A path outside the folders the operator allowed, an address that needs TLS."""

    grpc_status = "PERMISSION_DENIED"


class VersionMismatch(HemalumError):
    """Client and server speak different versions of the API."""

    grpc_status = "FAILED_PRECONDITION"


class ProtocolError(HemalumError):
    """A message that breaks the contract: wrong size, sent twice, beyond the image."""


class TooMuch(HemalumError):
    """A limit that no waiting changes: size of a message, an image, a tile, a plan."""


class Busy(HemalumError):
    """The same call may succeed later.

    Attributes:
        retry_after: seconds until it is worth another try.
    """

    grpc_status = "RESOURCE_EXHAUSTED"

    def __init__(self, sentence: str | None = None, retry_after: float = 10):
        super().__init__(sentence)
        self.retry_after = retry_after


class ServerUnavailable(HemalumError):
    """The server cannot be reached before work began."""

    grpc_status = "UNAVAILABLE"


class RunLost(HemalumError):
    """The run ended before it was finished: server gone, process interrupted."""

    exit_code = 1
    grpc_status = "ABORTED"  # UNAVAILABLE would invite a repetition by the transport


class ServerLost(RunLost):
    """The server or the way to it was lost in mid-run; another one may go on with it."""


class DiskFull(RunLost):
    """No space left in mid-run; what was finished stays valid."""

    grpc_status = "RESOURCE_EXHAUSTED"


class Cancelled(RunLost):
    """The user or the client cancelled the run."""

    grpc_status = "CANCELLED"


class PartlyFailed(HemalumError):
    """Some inputs or tiles failed, the rest is done."""

    exit_code = 3
    grpc_status = "ABORTED"
