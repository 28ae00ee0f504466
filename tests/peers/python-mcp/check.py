"""The official Python SDK buys once and opens the seller's door a second time with the token, in both of MCP's eras, over
standard input and output, streamable HTTP and the older HTTP+SSE."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys

from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.types import ElicitResult

from find import find_and_buy

SELLER = os.environ["PEER_SELLER"]
TOOLS = ["discover_api", "fetch_paid", "get_balance", "set_budget"]


def expect(is_true, what):
    if not is_true:
        sys.exit(f"python-mcp: {what}")


class Door:
    """A server over HTTP, with a token for this peer."""

    def __init__(self, env):
        made = subprocess.run(
            [os.environ["PEER_BURSAR"], "token", "create", "peer", "--json"], env=env, capture_output=True, check=True
        )
        self.headers = {"Authorization": "Bearer " + json.loads(made.stdout)["token"]}
        self.process = subprocess.Popen(
            [os.environ["PEER_BURSAR"], "serve", "--http", "127.0.0.1:0", "--sse"],
            env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        said = self.process.stderr.readline()
        self.at = re.search(r"http://127\.0\.0\.1:\d+", said).group(0)

    def close(self):
        self.process.terminate()
        expect(self.process.wait(30) == 0, "the server did not end well")


async def drive(over, mode, home):
    env = {"BURSAR_HOME": home, "BURSAR_ALLOW_LOOPBACK": "1", "PATH": os.environ["PATH"]}
    door = None if over == "stdio" else Door(env)
    try:
        if over == "stdio":
            server = StdioServerParameters(command=os.environ["PEER_BURSAR"], args=["serve"], env=env)
            await talk(over, mode, stdio_client(server))
        elif over == "http":
            async with create_mcp_http_client(headers=door.headers) as http:
                await talk(over, mode, streamable_http_client(door.at + "/mcp", http_client=http))
        else:
            await talk(over, mode, sse_client(door.at + "/sse", headers=door.headers))
    finally:
        if door:
            door.close()


async def talk(over, mode, transport):
    asked = []

    async def person(context, params):
        asked.append(params.message)
        return ElicitResult(action="decline")

    async with Client(transport, mode=mode, elicitation_callback=person) as client:

        async def call(tool, arguments, outcome=None):
            result = await client.call_tool(tool, arguments)
            facts = result.structured_content
            expect(outcome is None or facts["outcome"] == outcome, f"{mode}: {tool} gave {facts}, not {outcome}")
            expect(result.content[0].text, f"{mode}: {tool} says nothing")
            return result

        listed = await client.list_tools()
        expect([t.name for t in listed.tools] == TOOLS, f"{mode}: {[t.name for t in listed.tools]}")
        balance = await call("get_balance", {})
        expect("sat" in balance.structured_content["wallets"][0]["balance"], f"{mode}: {balance.structured_content}")
        await call("set_budget", {"scope": "purchase", "limit": "500 sat"}, "set")
        raised = await call("set_budget", {"scope": "purchase", "limit": "900 sat"}, "refused")
        expect(raised.is_error and len(asked) == 1, f"{mode}: the person said no to {asked}")
        await call("discover_api", {"url": f"{SELLER}/v1/rates"}, "quoted")
        bought = await call("fetch_paid", {"url": f"{SELLER}/v1/rates"}, "bought")
        expect(bought.structured_content["paid_now"] == "21 sat", f"{mode}: {bought.structured_content}")
        expect(bought.content[0].text.startswith("Paid 21 sat"), f"{mode}: {bought.content[0].text}")
        expect("rates" in bought.content[1].text, f"{mode}: the data is missing")
        await call("fetch_paid", {"url": f"{SELLER}/v1/rates"}, "token")
        wrong = await call("fetch_paid", {"nonsense": 1})
        expect(wrong.is_error, f"{mode}: nonsense was accepted")
        resources = await client.list_resources()
        expect([str(r.uri) for r in resources.resources] == ["bursar://audit"], f"{mode}: {resources}")
        audit = await client.read_resource("bursar://audit")
        expect("delivered" in audit.contents[0].text, f"{mode}: {audit}")
        prompts = await client.list_prompts()
        prompt = await client.get_prompt(prompts.prompts[0].name, {})
        expect(prompt.messages, f"{mode}: an empty prompt")
        version = client.protocol_version if hasattr(client, "protocol_version") else ""
        print(f"python-mcp {mode} over {over}: {version} bought once")


async def main():
    home = os.environ["PEER_HOME"]
    for over, mode in [("stdio", "auto"), ("stdio", "legacy"), ("http", "auto"), ("http", "legacy"), ("sse", "legacy")]:
        own = os.path.join(home, f"{over}-{mode}")
        os.mkdir(own, 0o700)
        shutil.copy(os.path.join(home, "wallet.nwc"), own)
        await asyncio.wait_for(drive(over, mode, own), 120)
    await asyncio.wait_for(find_and_buy(os.path.join(home, "find")), 120)


asyncio.run(main())
