import pytest

from kft import errors, paths


def test_the_first_matching_rule_wins():
    rules = [("head/.*", 2.0), (".*/kernel", 1.0), (".*", 0.5)]
    got = paths.assign(["head/kernel", "body/kernel", "body/bias"], rules, what="scale")
    assert got == {"head/kernel": 2.0, "body/kernel": 1.0, "body/bias": 0.5}


def test_a_pattern_has_to_match_the_whole_path():
    with pytest.raises(errors.InputError, match="no scale for 'head/kernel'"):
        paths.assign(["head/kernel"], [("head", 1.0)], what="scale")


def test_a_rule_that_takes_nothing_is_an_error():
    with pytest.raises(errors.InputError, match="'tail/.*'.*no variable"):
        paths.assign(["head/kernel"], [("head/.*", 1.0), ("tail/.*", 2.0)], what="scale")


def test_select_keeps_the_order_of_the_paths():
    assert paths.select(["c", "a", "b"], ["b", "c"], what="trainable") == ["c", "b"]


def test_a_pattern_that_selects_nothing_is_an_error():
    with pytest.raises(errors.InputError, match="'x.*'.*matches no variable"):
        paths.select(["a"], ["a", "x.*"], what="trainable")


def test_a_pattern_that_is_no_regular_expression_is_an_error():
    with pytest.raises(errors.InputError, match="Expected a regular expression"):
        paths.select(["a"], ["("], what="trainable")
