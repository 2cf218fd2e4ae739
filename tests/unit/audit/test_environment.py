import hashlib
from types import SimpleNamespace

from lethe.audit.environment import environment_digest, running_code


def installed(*pairs):
    return [SimpleNamespace(metadata={"Name": name}, version=version) for name, version in pairs]


def test_the_digest_is_that_of_sorted_normalised_lines():
    found = environment_digest(installed(("Zope.Interface", "6.0"), ("numpy", "2.4.6")))
    assert found == hashlib.sha256(b"numpy==2.4.6\nzope-interface==6.0\n").hexdigest()


def test_order_and_repetition_do_not_matter_but_versions_do():
    one = environment_digest(installed(("a", "1"), ("b", "2")))
    assert one == environment_digest(installed(("b", "2"), ("a", "1"), ("A", "1")))
    assert one != environment_digest(installed(("a", "1"), ("b", "3")))


def test_the_running_code_is_described():
    code = running_code()
    assert code.environment_sha256 == environment_digest()
    assert code.lethe
    assert code.python.startswith("3.")
    assert code.commit is None
