"""Values of the pipeline ↔ messages of `hemalum.v1`; what the service and the Python client share.

`api` holds the version of the wire contract, `pixels` pictures, `values` parameters, plans, models and stains, `events`
what comes out of a run.  Whatever arrives is checked here once; everything behind it deals in plain values.

>>> from hemalum.runs.events import TileConsumed
>>> from hemalum.wire.events import event_of, reply_of
>>> event_of(reply_of(TileConsumed(3), "nuclei", "slide"))
TileConsumed(index=3)
"""
