"""From a person's sentence to bought data with two tool calls, through the official SDK's client. The model's part is small:
it names the capability, and puts its own values into the next call that is proposed. PEER_SHOW=1 prints what it reads."""

import os
import shutil
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

ROWS = [
    (
        "find podcasts where small business owners discuss payment processing challenges",
        "podcast search",
        {"query": "small business owners payment processing challenges"},
        "10 sat",
        "payment process",
    ),
    (
        "extract line items and total from a scanned invoice",
        "invoice data extraction",
        {"image_url": "https://example.com/invoice.png"},
        "0.03 usd",
        "line_items",
    ),
]


def expect(is_true, what):
    if not is_true:
        sys.exit(f"python-mcp find: {what}")


def text(result):
    return "\n".join(block.text for block in result.content)


def show(what):
    if os.environ.get("PEER_SHOW"):
        print(what)


def furnish(home):
    """A purse with what the sandbox gives to whoever plays in it: both wallets, and its list of what is sold there."""
    world = Path(os.environ["PEER_NWC_FILE"]).parent
    home = Path(home)
    (home / "catalog").mkdir(parents=True)
    for part in [home, home / "catalog"]:
        part.chmod(0o700)
    for file in ["wallet.nwc", "evm.key", "catalog/sandbox.jsonl"]:
        shutil.copy(world / file, home / file)
    # Jamie's free tier would be taken first, and here something is to be bought.
    config = '[sellers]\nfree = "never"\n' + (world / "config.toml").read_text()
    (home / "config.toml").write_text(config)
    (home / "config.toml").chmod(0o600)


async def find_and_buy(home):
    furnish(home)
    env = {"BURSAR_HOME": home, "BURSAR_ALLOW_LOOPBACK": "1", "PATH": os.environ["PATH"]}
    server = StdioServerParameters(command=os.environ["PEER_BURSAR"], args=["serve"], env=env)
    async with Client(stdio_client(server)) as client:
        for task, query, own, price, data in ROWS:
            asked = {"query": query, "task": task}
            found = await client.call_tool("discover_api", asked)
            show(f"=== discover_api {asked}\n{text(found)}")
            step = found.structured_content["next"]
            expect(step["tool"] == "fetch_paid", f"the next call for {query} is {step}")
            call = dict(step["arguments"])
            call["json"] = {**call["json"], **own}
            bought = await client.call_tool(step["tool"], call)
            show(f"=== fetch_paid {call}\n{text(bought)}")
            facts = bought.structured_content
            expect((facts["outcome"], facts["paid_now"]) == ("bought", price), f"{query}: {facts}")
            expect(data in text(bought), f"{query}: the data is missing in {text(bought)}")
            print(f"python-mcp found and bought with two calls: {query}, {price}")
