"""The page of the RPCs: the wire contract with its comments, as protoc reads them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc

CONTRACT = Path("hemalum", "v1", "nuclei.proto")
SERVICE, MESSAGE, ENUM, SYNTAX = 6, 4, 5, 12  # field numbers of FileDescriptorProto
METHOD, FIELD, VALUE, NESTED, NESTED_ENUM = 2, 2, 2, 3, 4
Place = tuple[int, ...]


def page(folder: Path) -> str:
    """Markdown: the service, then every message and enumeration in the order of the file."""
    file = contract(folder)
    remarks = comments(file)
    lines = ["# RPCs", "", f"`{CONTRACT.as_posix()}`, package `{file.package}`.", "", remarks.get((SYNTAX,), "")]
    for s, service in enumerate(file.service):
        lines += ["", f"## Service {service.name}", "", remarks.get((SERVICE, s), "")]
        for m, method in enumerate(service.method):
            asked = _stream(method.client_streaming, method.input_type)
            given = _stream(method.server_streaming, method.output_type)
            lines += ["", f"### {method.name}", "", f"{asked} → {given}", ""]
            lines.append(remarks.get((SERVICE, s, METHOD, m), ""))
    lines += ["", "## Messages"]
    for i, message in enumerate(file.message_type):
        lines += _message(message, message.name, (MESSAGE, i), remarks)
    for i, enum in enumerate(file.enum_type):
        lines += _enum(enum, enum.name, (ENUM, i), remarks)
    return "\n".join([*lines, ""])


def contract(folder: Path) -> FileDescriptorProto:
    """The parsed contract with source information."""
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary, "contract.bin")
        arguments = ["protoc", "-I", str(folder), "--include_source_info", f"--descriptor_set_out={target}"]
        if protoc.main([*arguments, CONTRACT.as_posix()]):
            raise ValueError(f"{folder / CONTRACT} cannot be read by protoc")
        return FileDescriptorSet.FromString(target.read_bytes()).file[0]


def comments(file: FileDescriptorProto) -> dict[Place, str]:
    """Place in the file → its comment as Markdown."""
    found = {}
    for location in file.source_code_info.location:
        text = location.leading_comments or location.trailing_comments
        if text.strip():
            found[tuple(location.path)] = _markdown(text)
    return found


def _markdown(text: str) -> str:
    """Indented lines are drawings: they become code."""
    lines: list[str] = []
    for line in text.split("\n"):
        line = line.removeprefix(" ")
        drawn = line.startswith("  ")
        if drawn and lines and lines[-1] and not lines[-1].startswith("    "):
            lines.append("")
        lines.append("    " + line if drawn else line.replace("<", "&lt;"))
    return "\n".join(lines).strip("\n")


def _message(message: DescriptorProto, name: str, place: Place, remarks: dict[Place, str]) -> Iterator[str]:
    yield from ("", f"### {name}", "", remarks.get(place, ""), "")
    if message.field:
        yield from ("| field | type | number | |", "|---|---|---:|---|")
    for f, field in enumerate(message.field):
        remark = " ".join(remarks.get((*place, FIELD, f), "").split()).replace("|", "\\|")
        if field.HasField("oneof_index") and not field.proto3_optional:
            remark = f"one of `{message.oneof_decl[field.oneof_index].name}`. {remark}"
        yield f"| `{field.name}` | {_type(field, message)} | {field.number} | {remark} |"
    for i, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(nested, f"{name}.{nested.name}", (*place, NESTED, i), remarks)
    for i, enum in enumerate(message.enum_type):
        yield from _enum(enum, f"{name}.{enum.name}", (*place, NESTED_ENUM, i), remarks)


def _enum(enum: EnumDescriptorProto, name: str, place: Place, remarks: dict[Place, str]) -> Iterator[str]:
    yield from ("", f"### {name}", "", remarks.get(place, ""), "", "| value | number | |", "|---|---:|---|")
    for v, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {' '.join(remarks.get((*place, VALUE, v), '').split())} |"


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    for entry in message.nested_type:
        if entry.options.map_entry and field.type_name.endswith(f".{message.name}.{entry.name}"):
            return f"map of {_type(entry.field[0], entry)} to {_type(entry.field[1], entry)}"
    kind = _link(field.type_name) if field.type_name else FieldDescriptorProto.Type.Name(field.type)[5:].lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {kind}"
    return f"optional {kind}" if field.proto3_optional else kind


def _stream(streaming: bool, type_name: str) -> str:
    return f"stream of {_link(type_name)}" if streaming else _link(type_name)


def _link(type_name: str) -> str:
    name = type_name.removeprefix(".hemalum.v1.")
    return f"[{name}](#{name.lower().replace('.', '')})"
