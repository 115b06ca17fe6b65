import os

# Before torch is imported: two workers on two cores, each spinning while it waits for the other's threads, took
# 40 s for tests/train/test_loop.py; waiting asleep they take 10.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
