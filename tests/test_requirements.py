import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if match := re.match(r"([a-z0-9._-]+)==([^ ;]+)", line):
            found.setdefault(match[1], []).append(Version(match[2]))
    return found


def test_every_dependency_is_pinned_to_a_version_that_it_allows() -> None:
    declared = [*PROJECT["dependencies"], *(text for extra in PROJECT["optional-dependencies"].values()
                                            for text in extra)]
    for requirement in map(Requirement, declared):
        versions = pins().get(requirement.name, [])
        assert versions, f"{requirement.name} is not pinned: make lock"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_the_extras_are_those_that_the_readme_and_the_errors_name() -> None:
    assert PROJECT["optional-dependencies"].keys() == {"train", "serve", "doctor", "gcs", "s3", "dev", "pretrained",
                                                       "ray", "photos", "tracking", "tune"}


def test_who_trains_and_who_works_for_ray_can_ingest() -> None:
    for extra in ("train", "ray"):
        assert set(PROJECT["optional-dependencies"]["photos"]) <= set(PROJECT["optional-dependencies"][extra])


def test_requirements_install_this_checkout_with_the_pins() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert "-c constraints.txt" in lines and "-e .[train,serve,dev]" in lines


def test_no_local_build_and_no_index_is_pinned() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "+cpu" not in text and "--" not in text and "://" not in text
