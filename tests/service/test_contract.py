"""The wire contract beside the one of the last release: fields are only ever added."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from hemalum.v1 import nuclei_pb2

RELEASED = Path(__file__).parents[1] / "data" / "nuclei-0.1.binpb"  # protoc --descriptor_set_out, at the release
SAME = ("number", "type", "label", "type_name", "proto3_optional")


def messages(parent, prefix=""):
    """Dotted name and descriptor of every message of a file, nested ones too."""
    for message in parent:
        yield prefix + message.name, message
        yield from messages(message.nested_type, f"{prefix}{message.name}.")


def enums(file):
    """Dotted name and descriptor of every enum of a file."""
    for enum in file.enum_type:
        yield enum.name, enum
    for name, message in messages(file.message_type):
        for enum in message.enum_type:
            yield f"{name}.{enum.name}", enum


@pytest.fixture(scope="module")
def released():
    files = descriptor_pb2.FileDescriptorSet.FromString(RELEASED.read_bytes()).file
    return next(file for file in files if file.name.endswith("nuclei.proto"))


@pytest.fixture(scope="module")
def current():
    return descriptor_pb2.FileDescriptorProto.FromString(nuclei_pb2.DESCRIPTOR.serialized_pb)


def gone(released, current) -> list[str]:
    """What a client of the last release would miss or misread."""
    faults = []
    now = dict(messages(current.message_type))
    for name, message in messages(released.message_type):
        if name not in now:
            faults.append(f"message {name} is gone")
            continue
        fields = {field.name: field for field in now[name].field}
        for field in message.field:
            new = fields.get(field.name)
            if new is None:
                faults.append(f"{name}.{field.name} is gone")
                continue
            for what in SAME:
                if getattr(field, what) != getattr(new, what):
                    faults.append(f"{name}.{field.name} has another {what}")
            if field.HasField("oneof_index") != new.HasField("oneof_index"):
                faults.append(f"{name}.{field.name} went into or out of a oneof")
    now_enums = dict(enums(current))
    for name, enum in enums(released):
        values = {value.name: value.number for value in now_enums[name].value} if name in now_enums else {}
        for value in enum.value:
            if values.get(value.name) != value.number:
                faults.append(f"{name}.{value.name} is gone or has another number")
    for service, new in zip(released.service, current.service, strict=True):
        methods = {method.name: method for method in new.method}
        for method in service.method:
            if method != methods.get(method.name):
                faults.append(f"{service.name}.{method.name} is gone or takes something else")
    return faults


def test_nothing_of_the_last_release_is_gone_or_means_something_else(released, current):
    assert released.package == current.package
    assert gone(released, current) == []


def test_a_number_is_never_used_again(released, current):
    now = dict(messages(current.message_type))
    for name, message in messages(released.message_type):
        numbers = {field.number: field.name for field in now[name].field}
        for field in message.field:
            assert numbers.get(field.number, field.name) == field.name, f"{name}: number {field.number} is taken"


def test_an_enum_that_is_added_begins_with_unspecified(released, current):
    old = dict(enums(released))
    for name, enum in enums(current):
        if name not in old:
            assert enum.value[0].number == 0 and enum.value[0].name.endswith("_UNSPECIFIED"), name


@pytest.mark.parametrize("change", ["field gone", "field renumbered", "other type", "value gone", "method gone"])
def test_the_comparison_sees_a_change(released, current, change):
    broken = descriptor_pb2.FileDescriptorProto()
    broken.CopyFrom(current)
    image = next(message for message in broken.message_type if message.name == "Image")
    if change == "field gone":
        del image.field[0]
    elif change == "field renumbered":
        image.field[0].number = 99
    elif change == "other type":
        image.field[0].type = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
    elif change == "value gone":
        del next(message for message in broken.message_type if message.name == "Pixels").enum_type[0].value[1]
    else:
        del broken.service[0].method[1]
    assert len(gone(released, broken)) == 1
