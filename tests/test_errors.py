import pytest

from kft import errors, tables


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(errors.InputError, match="Got backbone 'resnet5O'.*Did you mean 'resnet50'"):
        tables.lookup({"resnet50": "os:path", "vgg": "os:path"}, "resnet5O", what="backbone")


def test_a_name_far_from_all_gets_no_guess():
    assert "Did you mean" not in str(errors.unknown_name("backbone", "zzz", ["resnet50"]))


def test_a_table_gives_what_its_place_names():
    import os.path

    assert tables.lookup({"path": "os:path"}, "path", what="module") is os.path


def test_lazy_attributes_are_like_missing_ones_where_the_table_has_none():
    get = tables.lazy_attributes("kft.somewhere", {"join": "os.path:join"})
    assert get("join")("a", "b") == "a/b"
    with pytest.raises(AttributeError, match="kft.somewhere"):
        get("other")
