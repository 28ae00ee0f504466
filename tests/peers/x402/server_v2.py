"""A seller on FastAPI with the Python package x402 of the second generation (x402 version 2)."""

import os

from fastapi import FastAPI, Request
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient, PaymentOption
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.http.types import RouteConfig
from x402.mechanisms.evm.exact import register_exact_evm_server

from child import listening

NAME = os.environ["LAB_NAME"]
PAY_TO = os.environ["LAB_PAY_TO"]


def offer(price):
    accepts = PaymentOption(scheme="exact", pay_to=PAY_TO, price=price, network="eip155:84532")
    return RouteConfig(accepts=[accepts], description="something of the lab", mime_type="application/json")


app = FastAPI()


@app.get("/weather")
async def weather():
    return {"weather": "sunny", "by": NAME}


@app.get("/dear")
async def dear():
    return {"item": "dear", "by": NAME}


@app.get("/item/{n}")
async def item(n: str):
    return {"item": n, "by": NAME}


@app.post("/echo")
async def echo(request: Request):
    return {"echo": await request.json(), "by": NAME}


seller = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=os.environ["LAB_FACILITATOR"])))
register_exact_evm_server(seller, "eip155:84532")
app.add_middleware(
    PaymentMiddlewareASGI,
    routes={
        "GET /weather": offer("$0.01"),
        "POST /echo": offer("$0.01"),
        "GET /dear": offer("$5"),
        "GET /item/*": offer("$0.001"),
    },
    server=seller,
)
listening(app)
