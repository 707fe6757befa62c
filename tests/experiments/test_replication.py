"""The published replication: its settings, and what is said of rows that are near and of one that is not."""

import json
from pathlib import Path
from typing import Any

import pytest

import tinynet as tn
from tinynet.experiments import replication
from tinynet.experiments.arms import ARMS
from tinynet.experiments.replication import PUBLISHED, ReplicationSettings
from tinynet.experiments.runs import load_data


def as_published() -> dict[ReplicationSettings, dict[str, Any]]:
    """Return made-up runs that all end exactly where the notebook's did."""
    results = {}
    for s in replication.runs():
        accuracy = PUBLISHED[s.activation, s.lr][list(ARMS.values()).index(s.norm)][0]
        results[s] = {"accuracy": accuracy, "diverged": accuracy == replication.DIVERGED}
    return results


def test_every_row_has_at_least_three_paired_seeds() -> None:
    runs = replication.runs()
    assert {(s.activation, s.lr) for s in runs} == set(PUBLISHED)
    for row in PUBLISHED:
        plain, normalized = (
            [s.seed for s in runs if (s.activation, s.lr, s.norm) == (*row, norm)] for norm in (None, "batch")
        )
        assert plain == normalized
        assert len(plain) >= 3


def test_rows_as_published_are_replicated_and_the_diverged_one_is_not_judged() -> None:
    text = replication.sentence(as_published())
    assert text.startswith(
        "Of 7 replicated rows 6 have a median within 0.01 of that of the published runs, 7 of the notebook's own run."
    )
    assert text.count("Not near both") == 1, "the notebook's own run of one row is far from its copies'"


def test_it_is_the_medians_that_count_and_a_row_off_is_given_with_both_spreads() -> None:
    results = as_published()
    off = [s for s in results if (s.activation, s.lr, s.norm) == ("sigmoid", 0.01, None)]
    for k, s in enumerate(off):
        results[s] = {"accuracy": 0.76 + 0.01 * k, "diverged": False}  # median 0.805, the last 0.85
    assert replication.sentence(results) == (
        "Of 7 replicated rows 7 have a median within 0.01 of that of the published runs, 6 of the notebook's own run. "
        "Not near both is sigmoid at learning rate 0.01, plain: 0.8050 (range 0.7600 to 0.8500 over 10 seeds) here, "
        "0.8271 in the notebook, inside that range, 0.7866 to 0.8107 in its copies, 0.8074 the median of all."
    )
    for s in off:
        results[s] = {"accuracy": 0.8, "diverged": False}
    assert "0.8271 in the notebook, outside that range" in replication.sentence(results)
    # the four published runs have the median 0.8074
    for accuracy, near in ((0.8174, 7), (0.8175, 6), (0.7974, 7), (0.7973, 6)):
        results |= {s: {"accuracy": accuracy, "diverged": False} for s in off}
        assert f"{near} have a median within" in replication.sentence(results)
    for accuracy, own in ((0.8371, 7), (0.8372, 6), (0.8171, 7), (0.8170, 6)):
        results |= {s: {"accuracy": accuracy, "diverged": False} for s in off}
        assert f"{own} of the notebook's own run" in replication.sentence(results)


def test_the_table_has_both_sides() -> None:
    table = replication.table(as_published())
    assert len(table) == 8
    assert table[2] == [
        "relu, learning rate 1",
        "plain",
        "none (3 diverged)",
        "0.0980 (copies 0.0958 to 0.1957, median of all 0.1010)",
        "3 of 3",
    ]


def test_without_runs_there_is_nothing_to_say() -> None:
    assert replication.sentence({}) == ""
    assert replication.table({}) == []


@pytest.mark.parametrize("norm", ["batch", None])
def test_a_tiny_run_has_the_notebooks_network(norm: Any, idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same network made by `mlp`, with TensorFlow's constants set, gives the same accuracy."""
    settings = ReplicationSettings(
        activation="relu", lr=0.1, norm=norm, steps=15, held_out=100, data=str(idx_folder), seed=3
    )
    train, test = load_data(str(idx_folder))
    net = tn.mlp(36, [100] * 3, 3, activation="relu", norm=norm, init="normal(0.05)", seed=3)
    for layer in net.layers.values():
        if isinstance(layer, tn.BatchNorm):
            layer.decay, layer.eps = 0.99, 1e-3
    tn.fit(net, train[100:], optimizer=tn.SGD(0.1), steps=15, batch_size=60, seed=3)
    seen = []
    monkeypatch.setattr(replication, "evaluate", lambda net, data: seen.append((net, data)) or (0.0, 0.5))
    first = settings.run()
    assert first == json.loads(json.dumps(first)) == {"accuracy": 0.5, "diverged": False}
    ((ours, tested),) = seen
    assert tested is test
    for name, value in {**net.params, **net.state}.items():
        assert (ours.state | ours.params)[name].tobytes() == value.tobytes(), name
