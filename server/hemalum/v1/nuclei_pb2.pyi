from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ("api_version", "client")
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    api_version: int
    client: str
    def __init__(self, api_version: _Optional[int] = ..., client: _Optional[str] = ...) -> None: ...

class ServerInfo(_message.Message):
    __slots__ = ("api_version", "oldest_api_version", "server_version", "ready", "state", "device", "execution_provider", "models", "broken_models", "default_model", "stains", "limits", "slide_folders", "pid", "runs", "waiting", "takes_known", "heartbeat_seconds")
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    OLDEST_API_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    BROKEN_MODELS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    STAINS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SLIDE_FOLDERS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    TAKES_KNOWN_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    api_version: int
    oldest_api_version: int
    server_version: str
    ready: bool
    state: str
    device: str
    execution_provider: str
    models: _containers.RepeatedCompositeFieldContainer[ModelInfo]
    broken_models: _containers.RepeatedScalarFieldContainer[str]
    default_model: str
    stains: _containers.RepeatedScalarFieldContainer[str]
    limits: Limits
    slide_folders: _containers.RepeatedScalarFieldContainer[str]
    pid: int
    runs: int
    waiting: int
    takes_known: bool
    heartbeat_seconds: float
    def __init__(self, api_version: _Optional[int] = ..., oldest_api_version: _Optional[int] = ..., server_version: _Optional[str] = ..., ready: bool = ..., state: _Optional[str] = ..., device: _Optional[str] = ..., execution_provider: _Optional[str] = ..., models: _Optional[_Iterable[_Union[ModelInfo, _Mapping]]] = ..., broken_models: _Optional[_Iterable[str]] = ..., default_model: _Optional[str] = ..., stains: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., slide_folders: _Optional[_Iterable[str]] = ..., pid: _Optional[int] = ..., runs: _Optional[int] = ..., waiting: _Optional[int] = ..., takes_known: bool = ..., heartbeat_seconds: _Optional[float] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("message_bytes", "image_pixels", "overview_side", "runs", "tiles_in_flight", "tiles", "core")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    OVERVIEW_SIDE_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    TILES_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    CORE_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    image_pixels: int
    overview_side: int
    runs: int
    tiles_in_flight: int
    tiles: int
    core: int
    def __init__(self, message_bytes: _Optional[int] = ..., image_pixels: _Optional[int] = ..., overview_side: _Optional[int] = ..., runs: _Optional[int] = ..., tiles_in_flight: _Optional[int] = ..., tiles: _Optional[int] = ..., core: _Optional[int] = ...) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("id", "version", "sha256", "mpp", "largest_nucleus_um", "halo", "licence", "licence_why", "commercial", "description", "thresholds", "card_json", "generator")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MPP_FIELD_NUMBER: _ClassVar[int]
    LARGEST_NUCLEUS_UM_FIELD_NUMBER: _ClassVar[int]
    HALO_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    LICENCE_WHY_FIELD_NUMBER: _ClassVar[int]
    COMMERCIAL_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    CARD_JSON_FIELD_NUMBER: _ClassVar[int]
    GENERATOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    sha256: str
    mpp: float
    largest_nucleus_um: float
    halo: int
    licence: str
    licence_why: str
    commercial: bool
    description: str
    thresholds: Thresholds
    card_json: str
    generator: bool
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[str] = ..., mpp: _Optional[float] = ..., largest_nucleus_um: _Optional[float] = ..., halo: _Optional[int] = ..., licence: _Optional[str] = ..., licence_why: _Optional[str] = ..., commercial: bool = ..., description: _Optional[str] = ..., thresholds: _Optional[_Union[Thresholds, _Mapping]] = ..., card_json: _Optional[str] = ..., generator: bool = ...) -> None: ...

class Thresholds(_message.Message):
    __slots__ = ("foreground", "marker", "sigma", "min_area_um2", "part_um2")
    FOREGROUND_FIELD_NUMBER: _ClassVar[int]
    MARKER_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    MIN_AREA_UM2_FIELD_NUMBER: _ClassVar[int]
    PART_UM2_FIELD_NUMBER: _ClassVar[int]
    foreground: float
    marker: float
    sigma: float
    min_area_um2: float
    part_um2: float
    def __init__(self, foreground: _Optional[float] = ..., marker: _Optional[float] = ..., sigma: _Optional[float] = ..., min_area_um2: _Optional[float] = ..., part_um2: _Optional[float] = ...) -> None: ...

class Parameters(_message.Message):
    __slots__ = ("thresholds", "regions", "skip_glass", "stain", "stain_matrix", "measure", "normalized_tiles", "interactive", "core")
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    SKIP_GLASS_FIELD_NUMBER: _ClassVar[int]
    STAIN_FIELD_NUMBER: _ClassVar[int]
    STAIN_MATRIX_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    NORMALIZED_TILES_FIELD_NUMBER: _ClassVar[int]
    INTERACTIVE_FIELD_NUMBER: _ClassVar[int]
    CORE_FIELD_NUMBER: _ClassVar[int]
    thresholds: Thresholds
    regions: _containers.RepeatedCompositeFieldContainer[Polygon]
    skip_glass: bool
    stain: str
    stain_matrix: StainMatrix
    measure: bool
    normalized_tiles: bool
    interactive: bool
    core: int
    def __init__(self, thresholds: _Optional[_Union[Thresholds, _Mapping]] = ..., regions: _Optional[_Iterable[_Union[Polygon, _Mapping]]] = ..., skip_glass: bool = ..., stain: _Optional[str] = ..., stain_matrix: _Optional[_Union[StainMatrix, _Mapping]] = ..., measure: bool = ..., normalized_tiles: bool = ..., interactive: bool = ..., core: _Optional[int] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("width", "height", "mpp", "mpp_source", "name", "identity", "z", "t")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MPP_FIELD_NUMBER: _ClassVar[int]
    MPP_SOURCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    T_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    mpp: float
    mpp_source: str
    name: str
    identity: str
    z: int
    t: int
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., mpp: _Optional[float] = ..., mpp_source: _Optional[str] = ..., name: _Optional[str] = ..., identity: _Optional[str] = ..., z: _Optional[int] = ..., t: _Optional[int] = ...) -> None: ...

class SegmentRequest(_message.Message):
    __slots__ = ("open", "overview", "tile", "failed", "known")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    OVERVIEW_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    open: Open
    overview: Overview
    tile: Tile
    failed: TileFailed
    known: Known
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., overview: _Optional[_Union[Overview, _Mapping]] = ..., tile: _Optional[_Union[Tile, _Mapping]] = ..., failed: _Optional[_Union[TileFailed, _Mapping]] = ..., known: _Optional[_Union[Known, _Mapping]] = ...) -> None: ...

class Known(_message.Message):
    __slots__ = ("tiles", "nuclei")
    TILES_FIELD_NUMBER: _ClassVar[int]
    NUCLEI_FIELD_NUMBER: _ClassVar[int]
    tiles: _containers.RepeatedScalarFieldContainer[int]
    nuclei: FoundNuclei
    def __init__(self, tiles: _Optional[_Iterable[int]] = ..., nuclei: _Optional[_Union[FoundNuclei, _Mapping]] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("api_version", "client", "model", "image", "parameters", "queues")
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    api_version: int
    client: str
    model: str
    image: Image
    parameters: Parameters
    queues: bool
    def __init__(self, api_version: _Optional[int] = ..., client: _Optional[str] = ..., model: _Optional[str] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., parameters: _Optional[_Union[Parameters, _Mapping]] = ..., queues: bool = ...) -> None: ...

class Overview(_message.Message):
    __slots__ = ("pixels", "unread")
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    pixels: Pixels
    unread: bytes
    def __init__(self, pixels: _Optional[_Union[Pixels, _Mapping]] = ..., unread: _Optional[bytes] = ...) -> None: ...

class Tile(_message.Message):
    __slots__ = ("index", "pixels")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    index: int
    pixels: Pixels
    def __init__(self, index: _Optional[int] = ..., pixels: _Optional[_Union[Pixels, _Mapping]] = ...) -> None: ...

class TileFailed(_message.Message):
    __slots__ = ("index", "reason")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    index: int
    reason: str
    def __init__(self, index: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Pixels(_message.Message):
    __slots__ = ("width", "height", "encoding", "data")
    class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RGB: _ClassVar[Pixels.Encoding]
        PNG: _ClassVar[Pixels.Encoding]
        JPEG: _ClassVar[Pixels.Encoding]
    RGB: Pixels.Encoding
    PNG: Pixels.Encoding
    JPEG: Pixels.Encoding
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    encoding: Pixels.Encoding
    data: bytes
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., encoding: _Optional[_Union[Pixels.Encoding, str]] = ..., data: _Optional[bytes] = ...) -> None: ...

class SegmentReply(_message.Message):
    __slots__ = ("overview_request", "opened", "credit", "nuclei", "normalized_tile", "settled", "failed", "progress", "summary", "queued")
    OVERVIEW_REQUEST_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    NUCLEI_FIELD_NUMBER: _ClassVar[int]
    NORMALIZED_TILE_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    overview_request: OverviewRequest
    opened: Opened
    credit: Credit
    nuclei: FoundNuclei
    normalized_tile: NormalizedTile
    settled: Settled
    failed: TileFailed
    progress: Progress
    summary: Summary
    queued: Queued
    def __init__(self, overview_request: _Optional[_Union[OverviewRequest, _Mapping]] = ..., opened: _Optional[_Union[Opened, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., nuclei: _Optional[_Union[FoundNuclei, _Mapping]] = ..., normalized_tile: _Optional[_Union[NormalizedTile, _Mapping]] = ..., settled: _Optional[_Union[Settled, _Mapping]] = ..., failed: _Optional[_Union[TileFailed, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., summary: _Optional[_Union[Summary, _Mapping]] = ..., queued: _Optional[_Union[Queued, _Mapping]] = ...) -> None: ...

class Queued(_message.Message):
    __slots__ = ("place", "runs", "sentence")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    place: int
    runs: int
    sentence: str
    def __init__(self, place: _Optional[int] = ..., runs: _Optional[int] = ..., sentence: _Optional[str] = ...) -> None: ...

class OverviewRequest(_message.Message):
    __slots__ = ("max_side",)
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    max_side: int
    def __init__(self, max_side: _Optional[int] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("run_id", "model", "image", "parameters", "colour_table", "box", "model_scale", "tile_shape", "tiles", "credits", "estimate_seconds", "measurements", "device", "notices", "tissue", "stain", "grid_tiles", "precision")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    COLOUR_TABLE_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    MODEL_SCALE_FIELD_NUMBER: _ClassVar[int]
    TILE_SHAPE_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    TISSUE_FIELD_NUMBER: _ClassVar[int]
    STAIN_FIELD_NUMBER: _ClassVar[int]
    GRID_TILES_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    model: ModelInfo
    image: Image
    parameters: Parameters
    colour_table: ColourTable
    box: int
    model_scale: float
    tile_shape: int
    tiles: _containers.RepeatedCompositeFieldContainer[TilePlan]
    credits: int
    estimate_seconds: float
    measurements: _containers.RepeatedScalarFieldContainer[str]
    device: str
    notices: _containers.RepeatedScalarFieldContainer[str]
    tissue: Mask
    stain: Stain
    grid_tiles: int
    precision: str
    def __init__(self, run_id: _Optional[str] = ..., model: _Optional[_Union[ModelInfo, _Mapping]] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., parameters: _Optional[_Union[Parameters, _Mapping]] = ..., colour_table: _Optional[_Union[ColourTable, _Mapping]] = ..., box: _Optional[int] = ..., model_scale: _Optional[float] = ..., tile_shape: _Optional[int] = ..., tiles: _Optional[_Iterable[_Union[TilePlan, _Mapping]]] = ..., credits: _Optional[int] = ..., estimate_seconds: _Optional[float] = ..., measurements: _Optional[_Iterable[str]] = ..., device: _Optional[str] = ..., notices: _Optional[_Iterable[str]] = ..., tissue: _Optional[_Union[Mask, _Mapping]] = ..., stain: _Optional[_Union[Stain, _Mapping]] = ..., grid_tiles: _Optional[int] = ..., precision: _Optional[str] = ...) -> None: ...

class TilePlan(_message.Message):
    __slots__ = ("index", "row", "col", "read", "core")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    COL_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    CORE_FIELD_NUMBER: _ClassVar[int]
    index: int
    row: int
    col: int
    read: Rect
    core: RectF
    def __init__(self, index: _Optional[int] = ..., row: _Optional[int] = ..., col: _Optional[int] = ..., read: _Optional[_Union[Rect, _Mapping]] = ..., core: _Optional[_Union[RectF, _Mapping]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class FoundNuclei(_message.Message):
    __slots__ = ("vertex_counts", "deltas", "probability", "ids", "centroids", "tiles", "edge", "measurements")
    VERTEX_COUNTS_FIELD_NUMBER: _ClassVar[int]
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    CENTROIDS_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    vertex_counts: _containers.RepeatedScalarFieldContainer[int]
    deltas: _containers.RepeatedScalarFieldContainer[int]
    probability: _containers.RepeatedScalarFieldContainer[float]
    ids: bytes
    centroids: _containers.RepeatedScalarFieldContainer[float]
    tiles: _containers.RepeatedScalarFieldContainer[int]
    edge: _containers.RepeatedScalarFieldContainer[float]
    measurements: _containers.RepeatedCompositeFieldContainer[Column]
    def __init__(self, vertex_counts: _Optional[_Iterable[int]] = ..., deltas: _Optional[_Iterable[int]] = ..., probability: _Optional[_Iterable[float]] = ..., ids: _Optional[bytes] = ..., centroids: _Optional[_Iterable[float]] = ..., tiles: _Optional[_Iterable[int]] = ..., edge: _Optional[_Iterable[float]] = ..., measurements: _Optional[_Iterable[_Union[Column, _Mapping]]] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class NormalizedTile(_message.Message):
    __slots__ = ("index", "x", "y", "pixels")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    index: int
    x: int
    y: int
    pixels: Pixels
    def __init__(self, index: _Optional[int] = ..., x: _Optional[int] = ..., y: _Optional[int] = ..., pixels: _Optional[_Union[Pixels, _Mapping]] = ...) -> None: ...

class Settled(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("done", "total", "nuclei", "seconds")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NUCLEI_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    nuclei: int
    seconds: float
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ..., nuclei: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class Summary(_message.Message):
    __slots__ = ("nuclei", "tiles", "skipped", "failed", "seconds", "duplicates_removed", "at_size_limit")
    class SecondsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NUCLEI_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_REMOVED_FIELD_NUMBER: _ClassVar[int]
    AT_SIZE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    nuclei: int
    tiles: int
    skipped: int
    failed: _containers.RepeatedCompositeFieldContainer[TileFailed]
    seconds: _containers.ScalarMap[str, float]
    duplicates_removed: int
    at_size_limit: int
    def __init__(self, nuclei: _Optional[int] = ..., tiles: _Optional[int] = ..., skipped: _Optional[int] = ..., failed: _Optional[_Iterable[_Union[TileFailed, _Mapping]]] = ..., seconds: _Optional[_Mapping[str, float]] = ..., duplicates_removed: _Optional[int] = ..., at_size_limit: _Optional[int] = ...) -> None: ...

class SegmentSlideRequest(_message.Message):
    __slots__ = ("api_version", "client", "model", "path", "mpp", "parameters", "width", "height", "identity", "queues")
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    MPP_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    api_version: int
    client: str
    model: str
    path: str
    mpp: float
    parameters: Parameters
    width: int
    height: int
    identity: str
    queues: bool
    def __init__(self, api_version: _Optional[int] = ..., client: _Optional[str] = ..., model: _Optional[str] = ..., path: _Optional[str] = ..., mpp: _Optional[float] = ..., parameters: _Optional[_Union[Parameters, _Mapping]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., identity: _Optional[str] = ..., queues: bool = ...) -> None: ...

class NormalizeRequest(_message.Message):
    __slots__ = ("api_version", "client", "overview", "stain", "stain_matrix", "reference", "table_size", "thumbnail", "overview_mpp", "tile", "model")
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    OVERVIEW_FIELD_NUMBER: _ClassVar[int]
    STAIN_FIELD_NUMBER: _ClassVar[int]
    STAIN_MATRIX_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    TABLE_SIZE_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    OVERVIEW_MPP_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    api_version: int
    client: str
    overview: Overview
    stain: str
    stain_matrix: StainMatrix
    reference: Overview
    table_size: int
    thumbnail: bool
    overview_mpp: float
    tile: Pixels
    model: str
    def __init__(self, api_version: _Optional[int] = ..., client: _Optional[str] = ..., overview: _Optional[_Union[Overview, _Mapping]] = ..., stain: _Optional[str] = ..., stain_matrix: _Optional[_Union[StainMatrix, _Mapping]] = ..., reference: _Optional[_Union[Overview, _Mapping]] = ..., table_size: _Optional[int] = ..., thumbnail: bool = ..., overview_mpp: _Optional[float] = ..., tile: _Optional[_Union[Pixels, _Mapping]] = ..., model: _Optional[str] = ...) -> None: ...

class NormalizeReply(_message.Message):
    __slots__ = ("stain_matrix", "colour_table", "thumbnail", "notices", "stain", "tile")
    STAIN_MATRIX_FIELD_NUMBER: _ClassVar[int]
    COLOUR_TABLE_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    STAIN_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    stain_matrix: StainMatrix
    colour_table: ColourTable
    thumbnail: Pixels
    notices: _containers.RepeatedScalarFieldContainer[str]
    stain: Stain
    tile: Pixels
    def __init__(self, stain_matrix: _Optional[_Union[StainMatrix, _Mapping]] = ..., colour_table: _Optional[_Union[ColourTable, _Mapping]] = ..., thumbnail: _Optional[_Union[Pixels, _Mapping]] = ..., notices: _Optional[_Iterable[str]] = ..., stain: _Optional[_Union[Stain, _Mapping]] = ..., tile: _Optional[_Union[Pixels, _Mapping]] = ...) -> None: ...

class StainMatrix(_message.Message):
    __slots__ = ("haematoxylin", "eosin")
    HAEMATOXYLIN_FIELD_NUMBER: _ClassVar[int]
    EOSIN_FIELD_NUMBER: _ClassVar[int]
    haematoxylin: _containers.RepeatedScalarFieldContainer[float]
    eosin: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, haematoxylin: _Optional[_Iterable[float]] = ..., eosin: _Optional[_Iterable[float]] = ...) -> None: ...

class Stain(_message.Message):
    __slots__ = ("method", "matrix", "maxima", "background", "lab_mean", "lab_std", "note")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MATRIX_FIELD_NUMBER: _ClassVar[int]
    MAXIMA_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    LAB_MEAN_FIELD_NUMBER: _ClassVar[int]
    LAB_STD_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    method: str
    matrix: StainMatrix
    maxima: _containers.RepeatedScalarFieldContainer[float]
    background: _containers.RepeatedScalarFieldContainer[int]
    lab_mean: _containers.RepeatedScalarFieldContainer[float]
    lab_std: _containers.RepeatedScalarFieldContainer[float]
    note: str
    def __init__(self, method: _Optional[str] = ..., matrix: _Optional[_Union[StainMatrix, _Mapping]] = ..., maxima: _Optional[_Iterable[float]] = ..., background: _Optional[_Iterable[int]] = ..., lab_mean: _Optional[_Iterable[float]] = ..., lab_std: _Optional[_Iterable[float]] = ..., note: _Optional[str] = ...) -> None: ...

class ColourTable(_message.Message):
    __slots__ = ("size", "rgb", "stain")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    RGB_FIELD_NUMBER: _ClassVar[int]
    STAIN_FIELD_NUMBER: _ClassVar[int]
    size: int
    rgb: bytes
    stain: str
    def __init__(self, size: _Optional[int] = ..., rgb: _Optional[bytes] = ..., stain: _Optional[str] = ...) -> None: ...

class Rect(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    width: int
    height: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class RectF(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    width: float
    height: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ...) -> None: ...

class Polygon(_message.Message):
    __slots__ = ("rings",)
    RINGS_FIELD_NUMBER: _ClassVar[int]
    rings: _containers.RepeatedCompositeFieldContainer[Ring]
    def __init__(self, rings: _Optional[_Iterable[_Union[Ring, _Mapping]]] = ...) -> None: ...

class Ring(_message.Message):
    __slots__ = ("xy",)
    XY_FIELD_NUMBER: _ClassVar[int]
    xy: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, xy: _Optional[_Iterable[float]] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("width", "height", "bits")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    bits: bytes
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., bits: _Optional[bytes] = ...) -> None: ...
