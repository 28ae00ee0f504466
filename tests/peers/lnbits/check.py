"""LNbits keeps its accounts on the sandbox's wallet, over its own NWC client, and buys with it."""

import hashlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SELLER = os.environ["PEER_SELLER"]
HOME = os.environ["PEER_HOME"]
PRICE = 21_000
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(method, url, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body).encode()
    if data:
        headers["content-type"] = "application/json"
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with direct.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def start(port, log):
    with open(os.environ["PEER_NWC_FILE"]) as file:
        connection = file.read().strip()
    for folder in ["lnbits/data", "lnbits/extensions"]:
        os.makedirs(f"{HOME}/{folder}")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": HOME,
        "LNBITS_DATA_FOLDER": f"{HOME}/lnbits/data",
        "LNBITS_EXTENSIONS_PATH": f"{HOME}/lnbits/extensions",
        "LNBITS_BACKEND_WALLET_CLASS": "NWCWallet",
        "NWC_PAIRING_URL": connection,
        "LNBITS_ADMIN_UI": "true",
        "LNBITS_EXTENSIONS_DEACTIVATE_ALL": "true",
        # Nothing here needs the price of a bitcoin, or a list of extensions.
        "LNBITS_EXCHANGE_RATE_PROVIDERS": "[]",
        "LNBITS_PRICE_AGGREGATOR_ENABLED": "false",
        "LNBITS_EXTENSIONS_MANIFESTS": "[]",
        "LNBITS_WASM_EXTENSIONS_MANIFESTS": "[]",
    }
    command = [sys.executable, "-m", "uvicorn", "lnbits.__main__:app", "--host", "127.0.0.1", "--port", str(port)]
    # It looks for its pages relative to where it is started.
    where = os.path.dirname(os.path.dirname(importlib.util.find_spec("lnbits").origin))
    return subprocess.Popen(command, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def drive(process, base):
    deadline = time.monotonic() + 90
    while True:
        try:
            if ask("GET", f"{base}/api/v1/health")[0] == 200:
                break
        except OSError:
            pass
        assert process.poll() is None and time.monotonic() < deadline, "LNbits does not start"
        time.sleep(0.2)

    def call(method, path, body=None, **headers):
        status, text, _ = ask(method, base + path, body, **headers)
        assert status in (200, 201), f"{path} answered {status}: {text}"
        return json.loads(text)

    word = os.urandom(12).hex()
    first = {"username": "peer", "password": word, "password_repeat": word}
    person = {"authorization": f"Bearer {call('PUT', '/api/v1/auth/first_install', first)['access_token']}"}
    wallet = call("GET", "/api/v1/wallets", **person)[0]
    key = {"X_Api_Key": wallet["adminkey"]}
    call("PUT", "/users/api/v1/balance", {"id": wallet["id"], "amount": 1000}, **person)
    held = call("GET", "/admin/api/v1/audit", **person)["node_balance_sats"] * 1000
    assert held > PRICE, f"LNbits sees {held} msat in the sandbox's wallet"

    url = f"{SELLER}/v1/rates"
    status, _, headers = ask("GET", url)
    assert status == 402, f"the seller answered {status}"
    offer = next(o for o in headers.get_all("www-authenticate") if o.startswith("L402 "))
    token, invoice = re.search('macaroon="([^"]+)", invoice="([^"]+)"', offer).groups()
    paid = call("POST", "/api/v1/payments", {"out": True, "bolt11": invoice}, **key)
    assert paid["status"] == "success" and paid["amount"] == -PRICE, paid
    assert hashlib.sha256(bytes.fromhex(paid["preimage"])).hexdigest() == paid["payment_hash"], paid
    status, _, _ = ask("GET", url, authorization=f"L402 {token}:{paid['preimage']}")
    assert status == 200, f"the seller answered {status} to the proof"
    left = call("GET", "/admin/api/v1/audit", **person)["node_balance_sats"] * 1000
    assert held - left == PRICE, f"{held} became {left}"
    assert call("GET", "/api/v1/wallet", **key)["balance"] == 1_000_000 - PRICE

    status, text, _ = ask("POST", f"{base}/api/v1/payments", {"out": True, "bolt11": invoice}, **key)
    assert status >= 400, f"an invoice was paid twice: {text}"
    made = call("POST", "/api/v1/payments", {"out": False, "amount": 5, "memo": "peer"}, **key)
    assert made["bolt11"].startswith("lnbcrt50n1"), made
    print(f"lnbits: paid {held - left} msat with the sandbox's wallet behind it, and had it make an invoice")


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with tempfile.TemporaryFile("w+", dir=HOME) as log:
    process = start(port, log)
    try:
        drive(process, f"http://127.0.0.1:{port}")
    except BaseException:
        log.seek(0)
        print("".join(log.readlines()[-30:]), file=sys.stderr)
        raise
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
