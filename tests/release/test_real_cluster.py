"""The same promises on a real cluster: where CATSDOGS_TEST_CLUSTER is 1 and a KUBECONFIG names one with the manifests.

CATSDOGS_TEST_IMAGE is an image by digest that starts there. What ran before is put back.
"""

import os

import pytest
import requests

from catsdogs.clusters.cluster import NotRolledOut
from catsdogs.clusters.kubectl import KubectlCluster

IMAGE = os.environ.get("CATSDOGS_TEST_IMAGE", "")
asked = os.environ.get("CATSDOGS_TEST_CLUSTER") == "1"


@pytest.fixture
def cluster() -> KubectlCluster:
    return KubectlCluster(os.environ.get("CATSDOGS_TEST_NAMESPACE", "cats-dogs"), "cats-dogs-api", None, None)


if asked:  # nobody has a cluster by accident, so this is no skip

    def test_a_candidate_answers_and_goes(cluster: KubectlCluster) -> None:
        before = cluster.current_image()
        address = cluster.start_candidate(cluster.pinned(IMAGE), 300)
        try:
            assert requests.get(f"{address}/readyz", timeout=30).status_code == 200
        finally:
            cluster.stop_candidate()
            cluster.close()
        assert cluster.current_image() == before

    def test_the_public_image_changes_and_comes_back(cluster: KubectlCluster) -> None:
        before = cluster.current_image()
        try:
            cluster.set_image(cluster.pinned(IMAGE))
            cluster.wait_rolled_out(300)
            address = cluster.public_address()
            assert requests.get(f"{address}/readyz", timeout=30).status_code == 200
        finally:
            cluster.set_image(before)
            cluster.wait_rolled_out(300)
            cluster.close()
        assert cluster.current_image() == before

    def test_an_image_that_is_nowhere(cluster: KubectlCluster) -> None:
        with pytest.raises(NotRolledOut, match="does not start: ErrImagePull|does not start: ImagePullBackOff"):
            cluster.start_candidate("127.0.0.1:9/nowhere@sha256:" + "0" * 64, 120)
        cluster.stop_candidate()
