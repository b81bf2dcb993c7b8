"""A program with a `loss_fn` that lies in the way that its first argument names."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time


def said(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def right(request):
    t_p, t_c = (request["params"][name]["data"] for name in ("t_p", "t_c"))
    loss = sum((p - c) ** 2 / len(t_p) for p, c in zip(t_p, t_c, strict=False)) if t_p else 0.0
    return {"jsonrpc": "2.0", "id": request["id"], "result": loss}


def answer(request, **changes):
    said(json.dumps(right(request) | changes) + "\n")


def result(request, text):
    said(f'{{"jsonrpc": "2.0", "id": {request["id"]}, "result": {text}}}\n')


def child():
    """A child that outlives its parent, and holds its output open."""
    subprocess.Popen([sys.executable, "-c", "import sys, time; time.sleep(600)", *sys.argv[1:]])


LIES = {
    # the form of its answer
    "garbage": lambda request: said("loss = 0.5\n"),
    "half-a-line": lambda request: (said('{"jsonrpc": "2.0", "id"'), os._exit(3)),
    "not-utf-8": lambda request: os.write(1, b'{"jsonrpc": "2.0", "result": "\xff\xfe"}\n'),
    "nested": lambda request: said("[" * 100_000 + "]" * 100_000 + "\n"),
    "a-line-without-end": lambda request: [said("x" * 65536) for _ in range(10_000)],
    "NaN-of-python": lambda request: said(json.dumps(right(request) | {"result": float("nan")}) + "\n"),
    # the request that it answers
    "another-id": lambda request: answer(request, id=request["id"] + 1000),
    "a-word-for-id": lambda request: answer(request, id=str(request["id"])),
    "no-id": lambda request: said(json.dumps({"jsonrpc": "2.0", "result": 0.5}) + "\n"),
    "twice": lambda request: (answer(request), answer(request)),
    "a-batch-for-one": lambda request: said(json.dumps([right(request)]) + "\n"),
    "another-version": lambda request: answer(request, jsonrpc="1.0"),
    "result-and-error": lambda request: answer(request, error={"code": 1, "message": "both"}),
    "an-error-that-is-none": lambda request: said(f'{{"jsonrpc": "2.0", "id": {request["id"]}, "error": "no"}}\n'),
    # the value that it answers
    "a-huge-number": lambda request: result(request, "9" * 100_000),
    "null": lambda request: answer(request, result=None),
    # its end
    "dies": lambda request: os._exit(3),
    "is-killed": lambda request: os.kill(os.getpid(), signal.SIGKILL),
    "hangs": lambda request: time.sleep(600),
    "closes-its-output": lambda request: (os.close(1), time.sleep(600)),
    "leaves-a-child": lambda request: (child(), os._exit(0)),
    "leaves-a-child-and-answers": lambda request: (child(), answer(request)),
    "writes-gigabytes": lambda request: [
        said('{"jsonrpc": "2.0", "id": 1, "result": 0.5}\n' * 10_000) for _ in range(10_000)
    ],
    "floods-standard-error": lambda request: [sys.stderr.write("wrong " * 10_000) for _ in range(100_000)],
    "complains-and-dies": lambda request: (os.write(2, b"there is no memory left\n"), os._exit(4)),
}


def main(lie):
    for line in sys.stdin:
        request = json.loads(line)
        if request["method"] == "initialize":
            about = {"name": "liar", "operations": ["loss_fn"], "dtypes": ["float64"], "batch": "ignored"}
            result(request, json.dumps(about))
        else:
            LIES[lie](request)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1])
