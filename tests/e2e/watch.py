"""watch.py: looks at a command while it runs.

usage: watch.py memory LIMIT_BYTES COMMAND...   its own memory (RssAnon) must stay below the limit
       watch.py kill SIGNAL FOLDER COMMAND...   stops it once FOLDER holds a file that begins to be
                                                written, then sends the signal
       watch.py kill SIGNAL FILE COMMAND...     the same once FILE is there
"""
import os
import signal
import subprocess
import sys
import time


def own_memory(pid):
    """Bytes of resident memory that is no file's; 0 when the process has none any more."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def watch_memory(limit, command):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    most = looks = 0
    while process.poll() is None:
        most = max(most, own_memory(process.pid))
        looks += 1
        time.sleep(0.0005)
    print(f"exit code {process.returncode}")
    if process.returncode or looks < 5:
        sys.exit(f"looked {looks} times: too few to judge")
    # Frames and heap of sanitized code are larger by what they are guarded with.
    if most >= limit * (3 if os.environ.get("PLANISH_SANITIZED") else 1):
        sys.exit(f"own memory rose to {most} bytes, the limit is {limit}")
    print("own memory stayed below the limit")


def names(path):
    return set(os.listdir(path)) if os.path.isdir(path) else {os.path.basename(path)} & set(os.listdir(os.path.dirname(path)))


def kill(number, path, command):
    before = names(path)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if names(path) - before:
            process.send_signal(signal.SIGSTOP)
            break
        time.sleep(0.0005)
    begun = sorted(names(path) - before)
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    code = process.wait()
    print("under way: " + ", ".join(begun))
    print("ended by " + signal.Signals(-code).name if code < 0 else f"exit code {code}")


if sys.argv[1] == "memory":
    watch_memory(int(sys.argv[2]), sys.argv[3:])
else:
    kill(signal.Signals[sys.argv[2]], sys.argv[3], sys.argv[4:])
