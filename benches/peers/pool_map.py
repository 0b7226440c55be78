#!/usr/bin/env python3
"""Peer: multiprocessing.Pool(2).map(add, range(N), chunksize=1), pool warm.

Only the map call is timed; pool start, a small warm-up map and pool
shutdown are outside the timed part. Usage: pool_map.py N
"""
import json
import multiprocessing
import sys
import time


def add(x):
    return x + 1


def main():
    n = int(sys.argv[1])
    with multiprocessing.Pool(2) as pool:
        pool.map(add, range(8), chunksize=1)
        start = time.perf_counter()
        results = pool.map(add, range(n), chunksize=1)
        seconds = time.perf_counter() - start
    if results != [i + 1 for i in range(n)]:
        sys.exit("pool_map: wrong results")
    print(json.dumps({"peer": "pool_map", "jobs": n, "seconds": seconds,
                      "per_job_us": seconds / n * 1e6}))


if __name__ == "__main__":
    main()
