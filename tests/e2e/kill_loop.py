"""kill_loop.py: kills a conversion again and again and goes on with it.

usage: kill_loop.py KILLS SEED JOURNAL COMMAND...   COMMAND has --resume; JOURNAL is its output's journal

Each run is killed (SIGKILL) at a random moment up to two seconds after it began; the last one may end. After KILLS kills,
or when a run was quicker, says how it went: the exit code of the last run, and on stderr the kills and how many of them
found finished work.
"""
import os
import random
import subprocess
import sys
import time


def main():
    kills, seed, journal, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    chance = random.Random(seed)
    done = fruitful = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + chance.uniform(0.0, 2.0)
        while process.poll() is None and (done == kills or time.monotonic() < until):
            time.sleep(0.002)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        done += 1
        fruitful += os.path.exists(journal) and os.path.getsize(journal) > 120     # more than its head
    print(f"exit code {process.returncode}")
    print(f"{done} kills, {fruitful} with finished work", file=sys.stderr)
    sys.exit(0 if fruitful or not done else "no kill came late enough")


main()
