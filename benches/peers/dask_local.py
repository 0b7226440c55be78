#!/usr/bin/env python3
"""Peer: dask.distributed LocalCluster, 2 worker processes x 1 thread, warm:
submit N (pure=False, so no argument hashing) and gather them all.
Cluster start, warm-up and shutdown are not timed. Usage: dask_local.py N
"""
import json
import logging
import sys
import tempfile
import time

from distributed import Client, LocalCluster


def add(x):
    return x + 1


def main():
    n = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch, \
            LocalCluster(n_workers=2, threads_per_worker=1, processes=True,
                         dashboard_address=None, local_directory=scratch,
                         silence_logs=logging.CRITICAL) as cluster, \
            Client(cluster) as client:
        client.wait_for_workers(2)
        client.gather([client.submit(add, i, pure=False) for i in range(8)])
        start = time.perf_counter()
        futures = [client.submit(add, i, pure=False) for i in range(n)]
        results = client.gather(futures)
        seconds = time.perf_counter() - start
        del futures
    if results != [i + 1 for i in range(n)]:
        sys.exit("dask_local: wrong results")
    print(json.dumps({"peer": "dask_local", "jobs": n, "seconds": seconds,
                      "per_job_us": seconds / n * 1e6}))


if __name__ == "__main__":
    main()
