"""A seller on pympp: on Tempo, and on an EVM chain with the nonce rule that mppx does not have."""

import asyncio
import json
import os
import urllib.request

from mpp.methods.evm import BASE_SEPOLIA_USDC
from mpp.methods.evm import server as evm
from mpp.methods.tempo import server as tempo
from mpp.server import Mpp, PaymentRequired, Request
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from child import listening

PAY_TO = os.environ["LAB_PAY_TO"]


def settled(payload):
    asked = urllib.request.Request(os.environ["LAB_SETTLE"], data=json.dumps(payload).encode(), method="POST")
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.load(answer)["transaction"]


async def settle(authorization):
    return await asyncio.to_thread(settled, authorization.payload)


def seller(methods):
    return Mpp(methods=methods, realm="127.0.0.1", secret_key="a secret of the lab that is long enough for it")


on_tempo = seller(
    tempo.charge(
        recipient=PAY_TO,
        chain_id=42431,
        rpc_url=os.environ["LAB_TEMPO"],
        currencies=["0x20c0000000000000000000000000000000000000"],
    )
)
on_evm = seller(evm.charge(currency=BASE_SEPOLIA_USDC, recipient=PAY_TO, settle=settle))


def selling(charge):
    async def answer(request):
        asked = Request(request.method, str(request.url), list(request.headers.items()), await request.body() or None)
        paid = await charge(asked)
        if isinstance(paid, PaymentRequired):
            said = paid.challenge
            response = Response(said.body, said.status)
            for name, value in said.headers.multi_items():
                response.headers.append(name, value)
            return response
        return paid.with_receipt(JSONResponse({"item": request.path_params["n"], "by": "pympp"}))

    return answer


routes = [
    Route("/tempo/{n}", selling(on_tempo.tempo.charge(amount="0.01"))),
    Route("/evm/{n}", selling(on_evm.evm.charge(amount="0.01"))),
]
listening(Starlette(routes=routes))
