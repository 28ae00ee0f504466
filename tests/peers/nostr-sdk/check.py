"""Buys twice with a client built on rust-nostr, and opens the seller's door with each proof it brings."""

import os
import re
import subprocess
import urllib.error
import urllib.request

SELLER = os.environ["PEER_SELLER"]
PRICE = 21_000
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(path, **headers):
    try:
        with direct.open(urllib.request.Request(SELLER + path, headers=headers), timeout=20) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        offers = error.headers.get_all("www-authenticate") or []
        return error.code, next((o for o in offers if o.startswith("L402 ")), "")


paths = ["/v1/rates", "/v1/dynamic/nostr-sdk"]
offers = []
for path in paths:
    status, offer = get(path)
    assert status == 402, f"{path} answered {status}"
    offers.append(re.search('macaroon="([^"]+)", invoice="([^"]+)"', offer).groups())

command = [os.environ["PEER_NOSTR_SDK"], os.environ["PEER_NWC_FILE"], *(invoice for _, invoice in offers)]
run = subprocess.run(command, capture_output=True, text=True, timeout=90)
assert run.returncode == 0, f"the client ended with {run.returncode}: {run.stderr}"
preimages = re.findall("^preimage ([0-9a-f]{64})$", run.stdout, re.M)
before, between, after = map(int, re.search(r"^balance (\d+) (\d+) (\d+)$", run.stdout, re.M).groups())
assert (before - between, between - after) == (PRICE, PRICE), f"{before} {between} {after}"
assert len(preimages) == 2, run.stdout
for path, (token, _), preimage in zip(paths, offers, preimages):
    status, _ = get(path, Authorization=f"L402 {token}:{preimage}")
    assert status == 200, f"{path} answered {status} to a proof"
print(f"nostr-sdk: the crates nwc and nostr-sdk paid {before - between} and {between - after} msat over NIP-04")
