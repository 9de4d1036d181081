"""Generated from `proto/hemalum/v1/nuclei.proto` by `make proto`; `nuclei_pb2` holds messages, `nuclei_pb2_grpc` the service.

>>> from hemalum.v1 import nuclei_pb2
>>> nuclei_pb2.Credit(index=3).index
3
"""
