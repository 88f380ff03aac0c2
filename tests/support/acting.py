"""An agent that does what its inputs say, good or bad."""

ACTING = """
import json, os, signal, sys, time
from pathlib import Path

inputs = json.loads(Path(os.environ["SKEP_INPUT"]).read_text())


def say(text):
    print(text, flush=True)


def wait():
    while True:
        signal.pause()


def use_memory():
    held = []
    while True:
        held.append(b"x" * 1_000_000)


def use_pids():
    made = 0
    while True:
        try:
            pid = os.fork()
        except OSError as error:
            say(f"{made} processes: {error.strerror}")
            sys.exit(0 if inputs.get("cope") else 3)
        if pid == 0:
            wait()
        made += 1


def use_disk():
    with open("filler", "wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 1_000_000)
            except OSError:
                if not inputs.get("cope"):
                    raise
                sys.exit(0)


def leave_deep():
    os.chdir(os.environ["SKEP_ARTIFACTS"])
    Path("kept").write_text("x")
    for _ in range(25):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    Path("lost").write_text("x")


def print_without_end():
    def stop(*_):
        print("enough of it\\n" * 200_000 + "the tail")
        Path(os.environ["SKEP_OUTPUT"]).write_text('{"stopped": true}')
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    say("the head")
    number = 0
    while True:
        number += 1
        print(f"line {number} " + "x" * 100)


match inputs.get("do", "nothing"):
    case "exit":
        sys.exit(inputs["code"])
    case "signal":
        os.kill(os.getpid(), inputs["number"])
        wait()
    case "wait":
        say("waiting")
        wait()
    case "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("waiting")
        wait()
    case "tick":
        for number in range(inputs["ticks"]):
            say(f"tick {number}")
            time.sleep(0.1)
        say("end")
    case "memory":
        use_memory()
    case "pids":
        use_pids()
    case "disk":
        use_disk()
    case "deep":
        leave_deep()
    case "print":
        print_without_end()
"""
