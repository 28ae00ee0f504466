"""mcp-fuzzer against the real server, over stdio and over HTTP: no hang, no crash, and no call that was done though its
arguments do not fit. Not over the older HTTP+SSE: the fuzzer's driver for it cannot send a request (0.7.0: "SseDriver does
not support send_request"), so that it lists no tool and judges nothing.

The fuzzer calls each answer that is no error "accepted_malformed", also to calls that fit: `get_balance` without arguments,
a list, a ping. So its findings are held against the schemas that the server itself shows.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jsonschema

BURSAR = os.environ["PEER_BURSAR"]
HOME = Path(os.environ["PEER_HOME"])
FUZZER = Path(sys.executable).parent / "mcp-fuzzer"
SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
ENV = {"PATH": os.environ["PATH"], "HOME": str(HOME), "BURSAR_HOME": str(HOME)}
# More than the whole of it needs on a slow machine; a server that hangs is told by the fuzzer's own timeouts.
SECONDS = 150
# An error quotes the argument that was wrong, to the one who sent it, as text: nobody renders that as a page.
OWN_WORDS = "injection_reflection"
# In a sequence the same message comes before and after others: a second `initialize` is no repetition of the first.
IN_A_ROW = ("non_determinism", "stateful_sequences")
begun = time.monotonic()


def fits(tool, arguments):
    file = SCHEMAS / f"{tool}.input.schema.json"
    if not file.exists():
        return False
    return jsonschema.Draft202012Validator(json.loads(file.read_text())).is_valid(arguments)


def calls(finding):
    """The calls of tools in a finding, as (tool, arguments)."""
    given = (finding.get("evidence") or {}).get("input")
    if finding.get("kind") == "tool":
        return [(finding["target"], given)]
    found = []

    def look(value):
        if isinstance(value, dict):
            if value.get("method") == "tools/call":
                params = value.get("params")
                params = params if isinstance(params, dict) else {}
                found.append((params.get("name"), params.get("arguments", {})))
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(given)
    return found


def fuzz(name, *args, env=ENV):
    """Runs it once; what it found that is a fault."""
    out = HOME / f"fuzz-{name}"
    command = [
        str(FUZZER), *args, "--mode", "all", "--phase", "both", "--runs", "20", "--runs-per-type", "6", "--stateful",
        "--no-network", "--no-corpus", "--seed", "1", "--timeout", "4", "--fail-if-no-tools",
        "--output-dir", str(out), "--fs-root", str(HOME / "fs"),
    ]
    left = SECONDS - (time.monotonic() - begun)
    run = subprocess.run(command, env=env, cwd=HOME, capture_output=True, text=True, timeout=max(left, 1))
    assert run.returncode == 0, f"{name}: the fuzzer ended with {run.returncode}\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
    # A tool that was not reached was not judged.
    for tool in ("discover_api", "fetch_paid", "get_balance", "set_budget"):
        assert re.search(rf"^ *{tool}: 40 runs, .*\n.* 0 transport/protocol anomalies, 0 crashes", run.stdout, re.M), (
            f"{name}: {tool} was not judged\n{run.stdout[-3000:]}"
        )
    findings = json.loads((out / "findings.json").read_text())["findings"]
    faults, fine = [], 0
    for finding in findings:
        if finding["category"] == OWN_WORDS or (finding["category"], finding.get("target")) == IN_A_ROW:
            fine += 1
            continue
        if finding["category"] != "accepted_malformed":
            faults.append(finding)
            continue
        refused = '"isError": true' in json.dumps(finding["evidence"]).replace("\\", "")
        if refused or all(fits(tool, arguments) for tool, arguments in calls(finding)):
            fine += 1
        else:
            faults.append(finding)
    assert not faults, f"{name}: {json.dumps(faults, indent=1)[:6000]}"
    print(f"mcp-fuzzer {name}: {len(findings)} findings, {fine} of them answers to calls that fit, refusals or quotations, 0 faults")


def over_stdio():
    for phase in ("realistic", "aggressive"):
        fuzz(f"stdio-{phase}", "--protocol", "stdio", "--endpoint", f"{BURSAR} serve", "--protocol-phase", phase)


def over_http():
    made = subprocess.run([BURSAR, "token", "create", "fuzz", "--json"], env=ENV, capture_output=True, text=True, check=True)
    token = json.loads(made.stdout)["token"]
    server = subprocess.Popen([BURSAR, "serve", "--http", "127.0.0.1:0"], env=ENV, stderr=subprocess.PIPE, text=True)
    try:
        at = None
        while at is None:
            line = server.stderr.readline()
            assert line, "the server did not start"
            at = re.search(r"http://127\.0\.0\.1:\d+", line)
        at = at.group(0)
        for phase in ("realistic", "aggressive"):
            fuzz(
                f"http-{phase}", "--protocol", "streamablehttp", "--endpoint", f"{at}/mcp", "--auth-env",
                "--protocol-phase", phase, env={**ENV, "MCP_API_KEY": token},
            )
        assert urllib.request.urlopen(f"{at}/healthz", timeout=5).status == 200
    finally:
        server.terminate()
        code = server.wait(timeout=20)
    assert code == 0, f"the server ended with {code}"


over_stdio()
over_http()
audit = subprocess.run([BURSAR, "audit", "--all", "--json"], env=ENV, capture_output=True, text=True, check=True)
books = json.loads(audit.stdout)
assert books["totals"]["purchases"] == 0 and books["totals"]["money"] == [], books
