"""The measurement behind the last batch of an epoch: it trains as `tinynet.fit` does, and writes its table only."""

import importlib
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn

ROOT = Path(__file__).parents[1]


@pytest.fixture
def last_batch(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("tests.last_batch")


def sizes(split, examples):
    batches = split(np.arange(examples), 60)
    kept = np.concatenate(batches)
    np.testing.assert_array_equal(kept, np.arange(len(kept)))
    return [len(rows) for rows in batches]


def test_each_way_does_with_the_rest_what_its_name_says(last_batch):
    own, left_out, joined, equal = last_batch.SPLITS.values()
    assert sizes(own, 123) == [60, 60, 3]
    assert sizes(own, 121) == [60, 60]
    assert sizes(left_out, 123) == [60, 60]
    assert sizes(joined, 123) == [60, 63]
    assert sizes(equal, 123) == [41, 41, 41]
    for split in (own, left_out, joined, equal):
        assert sizes(split, 120) == [60, 60]


@pytest.mark.parametrize(
    ("rest", "way"), [(0, "a batch of its own"), (3, "all batches made equal"), (40, "a batch of its own")]
)
def test_by_hand_it_comes_to_the_bits_of_fit(last_batch, rest, way):
    rng = np.random.default_rng(0)
    data = tn.Dataset(rng.normal(size=(240 + rest, 5)), np.arange(240 + rest) % 3)
    ours, fitted = (tn.mlp(5, [7], 3, norm="batch", seed=1) for _ in range(2))
    last_batch.by_hand(ours, data, last_batch.SPLITS[way], epochs=2, seed=4)
    tn.fit(fitted, data, optimizer=tn.SGD(lr=0.1), epochs=2, batch_size=60, seed=4)
    for name, array in {**fitted.params, **fitted.state}.items():
        np.testing.assert_array_equal({**ours.params, **ours.state}[name], array, err_msg=name)


def test_the_page_gets_the_table_and_stays_as_it_is_otherwise(last_batch):
    found = {3: {"own": [10.0, 50.0], "`tn.fit`": [92.04, 93.0]}}
    old = last_batch.PAGE.read_text(encoding="utf-8")
    new = last_batch.page(old, found)
    assert "| left over | own | `tn.fit` |\n| --: | --: | --: |\n| 3 | 30.0 (10.0) | 92.5 (92.0) |\n" in new
    assert "the mean over 2 seeds" in new
    assert new.partition(last_batch.START)[0] == old.partition(last_batch.START)[0]
    assert new.partition(last_batch.END)[2] == old.partition(last_batch.END)[2]
    with pytest.raises(ValueError, match="needs the lines"):
        last_batch.page("no marks", found)
