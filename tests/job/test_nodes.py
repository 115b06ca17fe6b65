"""The Job of several nodes: torchrun's arguments of the manifest, two nodes on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from tests.job.test_job import upload
from tests.k8s.render import get, render
from tests.photos import write_raw
from tests.servers import free_port

SMALL = {"IMAGE_SIZE": "32", "EPOCHS": "1", "BATCH_SIZE": "16", "FORCE_CPU": "true", "PRECISION": "float32",
         "DOCTOR_WARNS": "true"}
PASSING = {"MIN_ACCURACY": "0", "MIN_SLICE_ACCURACY": "0", "MAX_CALIBRATION_ERROR": "1", "MAX_LATENCY_MS": "10000"}


@pytest.mark.xdist_group("nodes")
def test_two_nodes_train_one_model_and_the_first_one_pushes_it(tmp_path: Path) -> None:
    bucket, port = str(tmp_path / "bucket"), free_port()
    upload(bucket, write_raw(tmp_path / "raw", 40))
    container = get(render("local", tmp_path), "Job/distributed-train-job")["spec"]["template"]["spec"]["containers"][0]

    def node(rank: int) -> subprocess.Popen[str]:
        replaced = {"--node-rank=$(NODE_RANK)": f"--node-rank={rank}", "--master-port=29500": f"--master-port={port}",
                    "--master-addr=distributed-train-job-0.distributed-train-job": "--master-addr=127.0.0.1",
                    "--model-variant=fast": "--model-variant=baseline", "--unpacked": "--no-unpacked",
                    "--work-dir=/app/data/job": f"--work-dir={tmp_path / str(rank)}",
                    "--fixes=/app/fixes.yaml": f"--fixes={os.devnull}"}
        assert replaced.keys() <= set(container["args"])
        words = [replaced.get(word, word) for word in container["args"]]
        environment = os.environ | {f"CATSDOGS_JOB_{name}": value for name, value in SMALL.items()} | {
            f"CATSDOGS_GATE_{name}": value for name, value in PASSING.items()} | {
            "CATSDOGS_BUCKET": bucket, "CATSDOGS_COMMIT": "f" * 40, "MLFLOW_TRACKING_URI": "none",
            "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CATSDOGS_DOCTOR_MAX_ODD_SHARE": "1"}
        return subprocess.Popen([str(Path(sys.executable).parent / container["command"][0]), *words], env=environment,
                                cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    nodes = [node(0), node(1)]
    try:
        said = [process.communicate(timeout=500)[0] for process in nodes]
    finally:
        for process in nodes:
            process.kill()
    assert [process.returncode for process in nodes] == [0, 0], "\n".join(text[-3000:] for text in said)
    assert "gate         passed" in said[0] and "helped to train" in said[1]
    keys = {entry.key for entry in open_store(BucketSettings(bucket=bucket)).entries("models/")}
    assert {f"models/{'f' * 40}/model.pt", f"models/{'f' * 40}/model.onnx"} <= keys
    assert not (tmp_path / "1/models/model.pt").exists()
