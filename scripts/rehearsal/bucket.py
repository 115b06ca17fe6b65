"""The bucket: gcp-storage-emulator, in memory. python -m scripts.rehearsal.bucket PORT NAME"""

import signal
import sys
import threading

from gcp_storage_emulator.server import create_server
from gcp_storage_emulator.storage import Storage


def serve(port: int, bucket: str) -> None:
    """Until SIGTERM."""
    # Writes the list of all objects anew with each of them: 1,600 objects took 80 s. In memory nobody reads it.
    Storage._write_config_to_file = lambda self: None
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=bucket)
    server.start()
    stop.wait()
    server.stop()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
