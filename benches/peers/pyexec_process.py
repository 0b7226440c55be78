#!/usr/bin/env python3
"""Peer: executor-engine (Python) ProcessJob, N no-op jobs, at most 2 at a time.

Timed: building the N jobs, one submit of them all, and joining them all.
Each job starts its own worker process. Engine start/stop and clean-up are
not timed. Usage: pyexec_process.py N
"""
import asyncio
import json
import sys
import tempfile
import time

from executor.engine import Engine, EngineSetting, ProcessJob
from loguru import logger


def noop():
    return None


def main():
    n = int(sys.argv[1])
    logger.remove()  # the engine logs every job; keep that out of the timing
    with tempfile.TemporaryDirectory() as cache:
        # The engine makes one directory per job under cache_path, always.
        engine = Engine(EngineSetting(max_process_jobs=2, cache_path=cache))
        with engine:
            # Engine.join has no poll interval; Engine.wait polls each 0.2 s.
            start = time.perf_counter()
            jobs = [ProcessJob(noop) for _ in range(n)]
            engine.submit(*jobs)
            asyncio.run_coroutine_threadsafe(
                engine.join(jobs), engine.loop).result()
            seconds = time.perf_counter() - start
            done = sum(job.status == "done" for job in jobs)
            for job in jobs:
                # A job's executor outlives the job; end it, untimed.
                if job._executor is not None:
                    job.clear_context()
    if done != n:
        sys.exit(f"pyexec_process: {done} of {n} jobs done")
    print(json.dumps({"peer": "pyexec_process", "jobs": n, "seconds": seconds,
                      "per_job_us": seconds / n * 1e6}))


if __name__ == "__main__":
    main()
