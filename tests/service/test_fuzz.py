"""The short forms of `make fuzz` and `make soak`."""

import json

from benchmarks import fuzz, soak


def test_random_bytes_and_mutated_messages_are_refused_properly(capsys):
    assert fuzz.main(["--cases", "400", "--seed", "7"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["cases"] == 400 and said["faults"] == []
    assert {"OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION"} <= set(said["ends"])


def test_eight_mixed_clients_get_the_same_nuclei_and_leave_nothing(toy_models, capsys, monkeypatch):
    monkeypatch.setattr(soak, "GROWTH", 10.0)  # seconds say nothing about memory
    assert soak.main(["--seconds", "12", "--models", str(toy_models), "--model", "toy"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["faults"] == [] and {"whole", "there"} <= set(said["calls"])
