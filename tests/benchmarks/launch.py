"""Launcher that runs one program and prints its cost: ``launch.py SECONDS OUTPUT PROGRAM ARGUMENT...``

A separate, small process: the peak memory that Linux reports of a child is never below what its parent
used when the child was started. Standard library only.
"""

import json
import os
import signal
import subprocess
import sys
import time


def main() -> int:
    """Run the program with its output in the file OUTPUT; kill it after SECONDS."""
    limit, output, *command = sys.argv[1:]
    with open(output, "wb") as out:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        signal.signal(signal.SIGALRM, lambda *_: child.kill())
        signal.alarm(int(limit))
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    child.returncode = code
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"code": code, "wall": wall, "cpu": cpu, "rss_mib": used.ru_maxrss / 1024}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
