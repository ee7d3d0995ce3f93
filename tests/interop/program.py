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
