"""The official Python SDK is asked before it buys, opens the seller's door a second time with the token, and cancels a call
while it is paid, in both of MCP's eras, over standard input and output, streamable HTTP and the older HTTP+SSE."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse

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


class SlowRelay:
    """A wallet that takes its time: what its relay says reaches Bursar `late` seconds later."""

    def __init__(self, home):
        self.late = 0
        self.file = os.path.join(home, "wallet.nwc")
        with open(self.file) as file:
            self.uri = urllib.parse.urlsplit(file.read().strip())
        self.query = dict(urllib.parse.parse_qsl(self.uri.query))
        self.relay = urllib.parse.urlsplit(self.query["relay"])

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.between, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        query = urllib.parse.urlencode({**self.query, "relay": f"ws://127.0.0.1:{port}"})
        with open(self.file, "w") as file:
            file.write(self.uri._replace(query=query).geturl() + "\n")
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def between(self, near_in, near_out):
        far_in, far_out = await asyncio.open_connection(self.relay.hostname, self.relay.port)

        async def carry(source, to, late):
            try:
                while piece := await source.read(65536):
                    await asyncio.sleep(late())
                    to.write(piece)
                    await to.drain()
            except (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                to.close()

        await asyncio.gather(carry(near_in, far_out, lambda: 0), carry(far_in, near_out, lambda: self.late))


async def drive(over, mode, version, home):
    with open(os.path.join(home, "config.toml"), "w", opener=lambda p, f: os.open(p, f, 0o600)) as config:
        config.write('[approval]\nabove = { sat = "20" }\n')
    async with SlowRelay(home) as relay:
        await drive_slowly(over, mode, version, home, relay)


async def drive_slowly(over, mode, version, home, relay):
    env = {"BURSAR_HOME": home, "BURSAR_ALLOW_LOOPBACK": "1", "PATH": os.environ["PATH"]}
    door = None if over == "stdio" else Door(env)
    try:
        if over == "stdio":
            server = StdioServerParameters(command=os.environ["PEER_BURSAR"], args=["serve"], env=env)
            await talk(over, mode, version, stdio_client(server), relay)
        elif over == "http":
            async with create_mcp_http_client(headers=door.headers) as http:
                await talk(over, mode, version, streamable_http_client(door.at + "/mcp", http_client=http), relay)
        else:
            await talk(over, mode, version, sse_client(door.at + "/sse", headers=door.headers), relay)
    finally:
        if door:
            door.close()


async def talk(over, mode, version, transport, relay):
    asked, says = [], ["decline"]

    async def person(context, params):
        asked.append(params.message)
        if says[0] == "decline":
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content={"approve": True})

    async with Client(transport, mode=mode, elicitation_callback=person) as client:

        async def call(tool, arguments, outcome=None):
            result = await client.call_tool(tool, arguments)
            facts = result.structured_content
            expect(outcome is None or facts["outcome"] == outcome, f"{mode}: {tool} gave {facts}, not {outcome}")
            expect(result.content[0].text, f"{mode}: {tool} says nothing")
            return result

        # In `auto` a client may fall back to the handshake without a word.
        expect(client.protocol_version == version, f"{mode}: {client.protocol_version} was agreed on, not {version}")
        listed = await client.list_tools()
        expect([t.name for t in listed.tools] == TOOLS, f"{mode}: {[t.name for t in listed.tools]}")
        balance = await call("get_balance", {})
        expect("sat" in balance.structured_content["wallets"][0]["balance"], f"{mode}: {balance.structured_content}")
        await call("set_budget", {"scope": "purchase", "limit": "500 sat"}, "set")
        raised = await call("set_budget", {"scope": "purchase", "limit": "900 sat"}, "refused")
        expect(raised.is_error and len(asked) == 1, f"{mode}: the person said no to {asked}")
        await call("discover_api", {"url": f"{SELLER}/v1/rates"}, "quoted")
        denied = await call("fetch_paid", {"url": f"{SELLER}/v1/rates"}, "refused")
        expect(denied.is_error and len(asked) == 2, f"{mode}: the person said no to {asked}")
        says[0] = "accept"
        await call("set_budget", {"scope": "purchase", "limit": "600 sat"}, "set")
        bought = await call("fetch_paid", {"url": f"{SELLER}/v1/rates"}, "bought")
        expect(len(asked) == 4 and asked[3].startswith("Pay 21 sat"), f"{mode}: the person was asked {asked}")
        expect(bought.structured_content["paid_now"] == "21 sat", f"{mode}: {bought.structured_content}")
        expect(bought.content[0].text.startswith("Paid 21 sat"), f"{mode}: {bought.content[0].text}")
        expect("rates" in bought.content[1].text, f"{mode}: the data is missing")
        await call("fetch_paid", {"url": f"{SELLER}/v1/rates"}, "token")
        # Cancelled while the money is under way, and asked for again: paid once.
        impatient = {"url": f"{SELLER}/v1/dynamic/impatient"}
        relay.late = 2.5
        paying = asyncio.Event()

        async def progress(done, total, message):
            if "paying" in (message or ""):
                paying.set()

        cancelled = asyncio.create_task(client.call_tool("fetch_paid", impatient, progress_callback=progress))
        await asyncio.wait({cancelled, asyncio.create_task(paying.wait())}, return_when=asyncio.FIRST_COMPLETED)
        expect(paying.is_set() and not cancelled.done(), f"{mode}: it was not told that it is being paid: {cancelled}")
        cancelled.cancel()
        await asyncio.wait({cancelled})
        expect(cancelled.cancelled(), f"{mode}: it was not cancelled: {cancelled}")
        relay.late = 0
        again = await call("fetch_paid", impatient)
        expect(again.structured_content["outcome"] in ("bought", "stored"), f"{mode}: {again.structured_content}")
        wrong = await call("fetch_paid", {"nonsense": 1})
        expect(wrong.is_error, f"{mode}: nonsense was accepted")
        resources = await client.list_resources()
        expect([str(r.uri) for r in resources.resources] == ["bursar://audit"], f"{mode}: {resources}")
        audit = await client.read_resource("bursar://audit")
        delivered = [row for row in json.loads(audit.contents[0].text)["rows"] if row["state"] == "delivered"]
        expect(len(delivered) == 2, f"{mode}: {audit}")
        prompts = await client.list_prompts()
        prompt = await client.get_prompt(prompts.prompts[0].name, {})
        expect(prompt.messages, f"{mode}: an empty prompt")
        print(f"python-mcp {mode} over {over}: {version}, bought with a person's yes, one cancelled while it was paid")


async def main():
    home = os.environ["PEER_HOME"]
    modern, handshake = "2026-07-28", "2025-11-25"
    ways = [(over, mode, modern) for over in ("stdio", "http") for mode in ("auto", modern)]
    ways += [(over, "legacy", handshake) for over in ("stdio", "http", "sse")]
    for over, mode, version in ways:
        own = os.path.join(home, f"{over}-{mode}")
        os.mkdir(own, 0o700)
        shutil.copy(os.path.join(home, "wallet.nwc"), own)
        await asyncio.wait_for(drive(over, mode, version, own), 120)
    await asyncio.wait_for(find_and_buy(os.path.join(home, "find")), 120)


asyncio.run(main())
