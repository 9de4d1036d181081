"""The gRPC service: thin, since all work is the pipeline's.

`server` binds the port and ends gracefully, `servicer` answers the four methods, `stream` carries one run, `work` holds
what all runs share, `limits` and `auth` refuse, `folders` decides what may be opened, `tls` makes certificates.

>>> from hemalum.service.server import Server, Settings                          # doctest: +SKIP
>>> server = Server(Settings(port=0)).start()                                    # doctest: +SKIP
>>> server.port, server.stop(grace=0)                                            # doctest: +SKIP
"""
