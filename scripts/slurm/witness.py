#!/usr/bin/env python3
"""Writes down which signals reach it and when, and goes on: witness.py NAME FILE [SECONDS].

A line of FILE is NAME, what happened and the time since the epoch. Under srun, NAME gets the rank's number behind it."""
import os
import signal
import sys
import time

name, path = sys.argv[1] + os.environ.get("SLURM_PROCID", "") * (sys.argv[1] == "rank"), sys.argv[2]
end = time.time() + (float(sys.argv[3]) if len(sys.argv) > 3 else 600.0)


def note(what):
    with open(path, "a") as out:
        out.write("%s %s %.2f\n" % (name, what, time.time()))


for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGCONT):
    signal.signal(number, lambda number, _: note(signal.Signals(number).name[3:]))
note("starts")
while time.time() < end:
    time.sleep(0.05)
note("ends")
