"""Buys with the Python package x402 over httpx: an URL a line comes in, the milliseconds it took go out."""

import asyncio
import json
import os
import sys
import time

from eth_account import Account
from x402 import x402Client
from x402.http.clients import wrapHttpxWithPayment
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client


async def main():
    buyer = x402Client()
    register_exact_evm_client(buyer, EthAccountSigner(Account.from_key(os.environ["LAB_KEY"])))
    loop = asyncio.get_running_loop()
    async with wrapHttpxWithPayment(buyer, timeout=30, trust_env=False) as client:
        print("{}", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            begun = time.perf_counter()
            answer = await client.get(line.strip())
            ms = (time.perf_counter() - begun) * 1000
            print(json.dumps({"ms": ms, "status": answer.status_code, "body": answer.json()}), flush=True)


asyncio.run(main())
