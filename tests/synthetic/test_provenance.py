"""Code and versions that a release names (S38)."""

from hashlib import sha256
from importlib import metadata
from pathlib import Path

from synthetic.fitting import provenance
from tests.synthetic.material import bank_release


def test_the_digest_of_code_changes_with_any_source_file(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("1")
    (tmp_path / "notes.txt").write_text("not code")
    before = provenance.files(tmp_path)
    assert before == [f"one.py {sha256(b'1').hexdigest()}"]
    (tmp_path / "one.py").write_text("2")
    assert provenance.files(tmp_path) != before


def test_the_versions_are_those_of_what_the_product_requires_directly_or_not() -> None:
    found = provenance.versions(provenance.DISTRIBUTION)
    for name in ("numpy", "opendp", "dp-accounting"):
        assert f"{name}=={metadata.version(name)}" in found
    names = [line.partition("==")[0] for line in found]
    assert "joblib" in names  # through another
    assert "pytest" not in names  # only a developer has it
    assert provenance.DISTRIBUTION not in names
    assert len({*names}) == len(names)


def test_where_the_product_is_not_installed_there_are_no_versions() -> None:
    assert provenance.versions("no-such-distribution") == []


def test_a_release_names_the_code_and_the_versions_that_made_it() -> None:
    body = bank_release().body()
    assert (body["code"], body["lock"]) == (provenance.code(), provenance.lock())


def test_the_lines_give_the_digests() -> None:
    lines = sorted(provenance.files(provenance.PACKAGE))
    text = "".join(f"{line}\n" for line in lines)
    assert sha256(text.encode()).hexdigest() == provenance.code()
