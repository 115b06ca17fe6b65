"""pytest-xdist does not say when it cannot keep a group of tests together: some then run twice what others wait for."""

import pytest


@pytest.mark.xdist_group("groups")
def test_tests_of_a_group_are_sent_to_one_process(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("loadgroup", default=False):  # as `make test` asks for
        assert request.node.nodeid.endswith("@groups")
