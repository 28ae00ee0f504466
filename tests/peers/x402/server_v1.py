"""A seller on FastAPI with the Python package x402 of the first generation (x402 version 1)."""

import os

from fastapi import FastAPI, Request
from x402.fastapi.middleware import require_payment

from child import listening

NAME = os.environ["LAB_NAME"]
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


for path, price in [("/weather", "$0.01"), ("/echo", "$0.01"), ("/dear", "$5"), ("/item/*", "$0.001")]:
    app.middleware("http")(
        require_payment(
            path=path,
            price=price,
            pay_to_address=os.environ["LAB_PAY_TO"],
            network="base-sepolia",
            description="something of the lab",
            facilitator_config={"url": os.environ["LAB_FACILITATOR"]},
        )
    )
listening(app)
