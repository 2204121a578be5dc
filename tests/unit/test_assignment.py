"""The choice of a node: hard filters first, then the weighted score, every term in [0, 1]."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.scheduling.assignment import WEIGHTS, Candidates, Wanted, capable, choose

ASKED = Wanted(material_mg=1000, size_mm=(100.0, 100.0, 50.0), nozzle_c=215, bed_c=60)


def fleet(count: int = 3, **columns: Any) -> Candidates:
    """Equal nodes ``n0`` ...; a column given replaces that of all."""
    ones = np.ones(count)
    known: dict[str, Any] = {
        "ids": [f"n{number}" for number in range(count)],
        "does_process": np.ones(count, dtype=np.bool_),
        "has_material": np.ones(count, dtype=np.bool_),
        "free_mg": np.full(count, 10_000, dtype=np.int64),
        "size_mm": np.full((count, 3), 200.0),
        "precision_mm": 0.1 * ones,
        "max_nozzle_c": 260 * ones,
        "max_bed_c": 100 * ones,
        "efficiency": 0.5 * ones,
        "load": 0 * ones,
        "lat": np.full(count, np.nan),
        "lon": np.full(count, np.nan),
        "states": {"busy": np.zeros(count, dtype=np.bool_)},
    }
    return Candidates(**{**known, **columns})


def test_of_equal_nodes_the_smaller_id_wins_whatever_their_order() -> None:
    assert choose(fleet(ids=["c", "a", "b"]), ASKED).node_id == "a"
    assert choose(fleet(ids=["c", "a", "b"]), ASKED).runner_up == "b"


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("does_process", np.array([False, True, True]), "process"),
        ("has_material", np.array([False, True, True]), "material"),
        ("size_mm", np.array([[99.0, 200, 200], [200] * 3, [200] * 3]), "size"),
        ("max_nozzle_c", np.array([214.0, 260, 260]), "nozzle temperature"),
        ("max_bed_c", np.array([59.0, 100, 100]), "bed temperature"),
        ("free_mg", np.array([999, 10_000, 10_000]), "material in stock"),
        ("states", {"busy": np.array([True, False, False])}, "busy"),
    ],
)
def test_a_node_that_cannot_do_it_now_is_rejected_with_its_reason(
    column: str, value: Any, reason: str
) -> None:
    decision = choose(fleet(**{column: value}), ASKED)
    assert decision.node_id == "n1"
    assert decision.rejections == {"n0": reason}
    assert decision.rejected == {reason: 1}
    assert [found["node_id"] for found in decision.candidates] == ["n1", "n2"]


def test_a_node_is_rejected_for_its_most_lasting_reason() -> None:
    nodes = fleet(1, does_process=np.array([False]), states={"busy": np.array([True])})
    assert choose(nodes, ASKED).rejections == {"n0": "process"}


def test_precision_counts_only_when_it_is_asked_for() -> None:
    nodes = fleet(precision_mm=np.array([0.2, 0.05, 0.2]))
    asked = Wanted(material_mg=1, size_mm=(1.0, 1.0, 1.0), precision_mm=0.1)
    assert choose(nodes, asked).rejections == {"n0": "precision", "n2": "precision"}
    assert choose(nodes, ASKED).rejections == {}


def test_without_a_node_there_is_no_decision_but_an_explanation() -> None:
    decision = choose(fleet(states={"busy": np.ones(3, dtype=np.bool_)}), ASKED)
    assert (decision.node_id, decision.runner_up, decision.candidates) == ("", "", [])
    assert decision.rejected == {"busy": 3}
    assert choose(fleet(0), ASKED).node_id == ""


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("load", np.array([0.5, 0.1, 0.5])),
        ("efficiency", np.array([0.5, 0.9, 0.5])),
        ("free_mg", np.array([2_000, 50_000, 2_000])),
        ("size_mm", np.array([[300.0] * 3, [120.0] * 3, [300.0] * 3])),
        ("lat", np.array([52.0, 48.0, 52.0])),
    ],
)
def test_each_term_can_decide(column: str, value: Any) -> None:
    asked = Wanted(material_mg=1000, size_mm=(100.0, 100.0, 50.0), location=(48.0, 11.0))
    nodes = fleet(**{"lat": np.full(3, 48.0), "lon": np.full(3, 11.0), column: value})
    assert choose(nodes, asked).node_id == "n1"


def test_a_hundred_kilometres_halve_nearness_and_no_distance_is_no_infinity() -> None:
    nodes = fleet(2, lat=np.array([48.0, 48.0 + 0.8993216]), lon=np.array([11.0, 11.0]))
    asked = Wanted(material_mg=1, size_mm=(1.0, 1.0, 1.0), location=(48.0, 11.0))
    near, far = choose(nodes, asked).candidates
    assert near["nearness"] == 1.0
    assert far["nearness"] == pytest.approx(0.5, abs=1e-3)


def test_the_decision_holds_json_values_and_the_weights_of_the_specification() -> None:
    told = choose(fleet(), ASKED).explained()
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert told["weights"] == WEIGHTS
    assert (told["policy"], told["policy_version"]) == ("weighted-score", 1)
    assert all(
        isinstance(value, str | float) for found in told["candidates"] for value in found.values()
    )


def test_a_decision_over_a_large_fleet_names_a_few_and_counts_the_rest() -> None:
    busy = np.arange(1000) % 2 == 0
    decision = choose(fleet(1000, states={"busy": busy}), ASKED)
    assert (len(decision.candidates), len(decision.rejections)) == (20, 20)
    assert decision.rejected == {"busy": 500}


def test_what_could_be_done_after_waiting_is_told_apart_from_what_never_can() -> None:
    nodes = fleet(
        2, does_process=np.array([True, False]), states={"busy": np.ones(2, dtype=np.bool_)}
    )
    assert capable(nodes, ASKED).tolist() == [True, False]


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.floats(0, 1), st.integers(0, 10**9), st.floats(0.1, 1e5)),
        min_size=1,
        max_size=8,
    )
)
def test_every_term_and_score_lies_between_zero_and_one(
    rows: list[tuple[float, float, int, float]],
) -> None:
    load, efficiency, free, side = (np.array(column) for column in zip(*rows, strict=True))
    nodes = fleet(
        len(rows),
        load=load,
        efficiency=efficiency,
        free_mg=free.astype(np.int64),
        size_mm=np.repeat(side[:, None], 3, axis=1),
    )
    decision = choose(nodes, ASKED)
    for found in decision.candidates:
        assert all(0 <= found[term] <= 1 for term in (*WEIGHTS, "score"))
    assert len(decision.candidates) + len(decision.rejections) == len(rows)
