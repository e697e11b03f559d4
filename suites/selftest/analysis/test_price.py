"""The price of a verdict: the cases that it is measured with, and its table."""

from __future__ import annotations

from errpath.analysis.price import Price, injections, price_table


def test_every_injection_is_a_case_of_its_own_with_the_same_fault() -> None:
    cases = injections(3)
    assert len({case.id for case in cases}) == 3
    assert {case.fault for case in cases} == {cases[0].fault}
    assert cases[0].fault is not None
    assert cases[0].fault.function == "setup_bdev_super"


def test_the_table_sets_each_verdict_against_the_floor() -> None:
    floor, leaks, every = price_table(Price(0.001, 0.004, 0.0105)).splitlines()[1:]
    assert floor.split()[-3:] == ["1.00", "1000", "1.0"]
    assert leaks.split()[-3:] == ["4.00", "250", "4.0"]
    assert every.split()[-3:] == ["10.50", "95", "10.5"]
