"""What the Python parts of the lab do: listen on a free port of loopback, say which, and end when the parent does."""

import json
import os
import socket
import sys
import threading

import uvicorn


def listening(app):
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it every answer in two parts waits 40 ms.
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.bind(("127.0.0.1", 0))

    def watch():
        while sys.stdin.buffer.read(4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    print(json.dumps({"port": taken.getsockname()[1]}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[taken])
