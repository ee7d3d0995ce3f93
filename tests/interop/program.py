"""program.py: running planish, which scripts get as their first argument, and saying what is wrong."""
import subprocess
import sys


class Failed(Exception):
    pass


def need(condition, text):
    if not condition:
        raise Failed(text)


def run(program, *args, code=0):
    """A run that ends with this exit code, with its output: random models write random bytes."""
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, errors="replace")
    need(done.returncode == code, f"planish {' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr}")
    return done


def planish(*args):
    return run(sys.argv[1], *args)


def run_cases(cases, width, failures=(Failed,)):
    """Runs each of (name, function), which returns what to say of it, and says so. Returns how many failed."""
    failed = 0
    for name, run in cases:
        try:
            print(f"{name:{width}} {run()}")
        except failures as why:
            failed += 1
            print(f"{name:{width}} FAILED: {why}")
    return failed
