"""How records name a repository."""

import subprocess

import pytest

from lethe.data.repository import recorded_name


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("url", "recorded"),
    [
        ("https://anna:secret@example.org/data.git?token=x", "https://example.org/data.git"),
        ("ssh://git@example.org/team/data.git", "ssh://example.org/team/data.git"),
        ("git@example.org:team/data.git", "git@example.org:team/data.git"),
    ],
)
def test_a_checkout_is_named_by_the_address_it_was_cloned_from(tmp_path, url, recorded):
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", url)
    assert recorded_name(str(tmp_path)) == recorded


def test_without_an_address_no_path_of_this_machine_is_recorded(tmp_path, monkeypatch):
    folder = tmp_path / "home-of-anna" / "project"
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    assert recorded_name(str(folder)) == "project"
    git(folder, "remote", "add", "origin", "/home/anna/data")
    assert recorded_name(str(folder)) == "project"
    monkeypatch.chdir(folder)
    assert recorded_name(".") == "."


def test_an_address_is_recorded_without_its_secrets():
    assert recorded_name("https://u:p@example.org/d.git") == "https://example.org/d.git"
