#!/usr/bin/env python3
"""Peer: loky reusable executor, 2 workers, warm: submit N, read N results.

Executor start, a small warm-up and shutdown are not timed.
Usage: loky_map.py N
"""
import json
import sys
import time

from loky import get_reusable_executor


def add(x):
    return x + 1


def main():
    n = int(sys.argv[1])
    executor = get_reusable_executor(max_workers=2, timeout=None)
    list(executor.map(add, range(8)))
    start = time.perf_counter()
    futures = [executor.submit(add, i) for i in range(n)]
    results = [future.result() for future in futures]
    seconds = time.perf_counter() - start
    executor.shutdown(wait=True)
    if results != [i + 1 for i in range(n)]:
        sys.exit("loky_map: wrong results")
    print(json.dumps({"peer": "loky_map", "jobs": n, "seconds": seconds,
                      "per_job_us": seconds / n * 1e6}))


if __name__ == "__main__":
    main()
