"""Random streams: every part of a stream's name tells it apart from all others."""

from stages.base.streams import Streams


def test_streams_differ_by_every_part_of_their_name() -> None:
    def drawn(seed: int, key: str, trial: int, purpose: str) -> float:
        return float(Streams(seed, key).stream(trial, purpose).standard_normal())

    names = [
        (0, "wide", 0, "start"),
        (1, "wide", 0, "start"),
        (0, "line", 0, "start"),
        (0, "wide", 1, "start"),
        (0, "wide", 0, "order"),
    ]
    draws = {name: drawn(*name) for name in names}
    assert len(set(draws.values())) == len(names)
    assert draws[names[0]] == drawn(*names[0])
