"""How it is usually done: one object a photo, 16 threads of boto3, a folder in the bucket for every commit."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config

THREADS = 16


def main(verb: str, bucket: str, prefix: str, folder: Path) -> None:
    client = boto3.client("s3", config=Config(max_pool_connections=THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        if verb == "push":
            files = [path for path in folder.rglob("*") if path.is_file()]
            list(pool.map(lambda path: client.put_object(
                Bucket=bucket, Key=f"{prefix}/{path.relative_to(folder).as_posix()}", Body=path.read_bytes()), files))
            return
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]

        def get(key: str) -> None:
            path = folder / key.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())

        list(pool.map(get, keys))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
