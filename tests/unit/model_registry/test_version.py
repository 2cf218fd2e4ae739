"""Naming a version."""

import pytest

from lethe.errors import ModelError
from model_registry.version import VersionRef, find_version, parse_number


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "digits",
        "digits@",
        "@champion",
        "digits/",
        "digits/x",
        "digits/1/2",
        "d'or 1=1/1",
        "a@b@c",
    ],
)
def test_what_names_no_version_is_refused_before_the_registry_is_asked(reference):
    with pytest.raises(ModelError, match="names no model version"):
        find_version(None, reference)


def test_a_reference_is_written_as_it_is_read():
    ref = VersionRef("digits", 12)
    assert parse_number(str(ref)) == ref
    assert ref.uri == "models:/digits/12"
    assert ref.link == "#/models/digits/versions/12"
