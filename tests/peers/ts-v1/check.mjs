// The TypeScript SDK of the first generation, which most hosts are built on: it speaks the handshake only. Over every
// transport it has: standard input and output, streamable HTTP, and the older HTTP+SSE.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { slowRelay } from './relay.mjs';
import { homeOf, serve } from './serve.mjs';

const seller = process.env.PEER_SELLER;
for (const over of ['stdio', 'http', 'sse']) {
  const home = homeOf(over);
  writeFileSync(`${home}/config.toml`, '[approval]\nabove = { sat = "20" }\n', { mode: 0o600 });
  const slow = await slowRelay(home);
  const door = over === 'stdio' ? undefined : await serve(home);
  const transport = {
    stdio: () => new StdioClientTransport({
      command: process.env.PEER_BURSAR,
      args: ['serve'],
      env: { BURSAR_HOME: home, BURSAR_ALLOW_LOOPBACK: '1', PATH: process.env.PATH },
    }),
    http: () => new StreamableHTTPClientTransport(door.mcp, { requestInit: { headers: door.headers } }),
    sse: () => new SSEClientTransport(door.sse, { requestInit: { headers: door.headers } }),
  }[over];
  const client = new Client({ name: 'peer-ts-v1', version: '1.0.0' }, { capabilities: { elicitation: {} } });
  const asked = [];
  client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
    asked.push(params.message);
    return { action: 'accept', content: { approve: true } };
  });
  await client.connect(transport());

  const call = async (name, args, outcome) => {
    const result = await client.callTool({ name, arguments: args });
    if (outcome) assert.equal(result.structuredContent.outcome, outcome, JSON.stringify(result));
    assert.ok(result.content[0].text.length > 0);
    return result;
  };

  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((t) => t.name), ['discover_api', 'fetch_paid', 'get_balance', 'set_budget']);
  assert.equal(tools[3]._meta['anthropic/requiresUserInteraction'], true);
  const balance = await call('get_balance', {});
  assert.match(balance.structuredContent.wallets[0].balance, / sat$/);
  await call('set_budget', { scope: 'purchase', limit: '500 sat' }, 'set');
  // A raise is put to the person, who says yes here.
  await call('set_budget', { scope: 'purchase', limit: '600 sat' }, 'set');
  assert.equal(asked.length, 1);
  await call('discover_api', { url: `${seller}/v1/rates` }, 'quoted');
  // So is a purchase above what the operator lets it buy unasked.
  const bought = await call('fetch_paid', { url: `${seller}/v1/rates` }, 'bought');
  assert.equal(asked.length, 2);
  assert.match(asked[1], /^Pay 21 sat .*\/v1\/rates/);
  assert.equal(bought.structuredContent.paid_now, '21 sat');
  assert.match(bought.content[0].text, /^Paid 21 sat/);
  await call('fetch_paid', { url: `${seller}/v1/rates` }, 'token');
  assert.equal((await call('fetch_paid', { nonsense: 1 })).isError, true);
  // A long answer comes in pages, and the pages are the whole of it.
  let text = '';
  let page = (await call('fetch_paid', { url: `${seller}/v1/large` }, 'bought')).structuredContent.result;
  for (;;) {
    text += page.text_unverified;
    if (page.next_offset === undefined) break;
    page = (await call('fetch_paid', { result_id: page.result_id, offset: page.next_offset }, 'stored')).structuredContent.result;
  }
  assert.equal(JSON.parse(text).lines.length, 2600);
  // A client that cancels while the money is under way, and asks again, pays once.
  const impatient = { url: `${seller}/v1/dynamic/impatient` };
  slow.ms = 2500;
  const gaveUp = new AbortController();
  const told = [];
  const onprogress = ({ message }) => {
    told.push(message);
    if (/paying/.test(message)) gaveUp.abort();
  };
  await assert.rejects(client.callTool({ name: 'fetch_paid', arguments: impatient }, undefined, { signal: gaveUp.signal, onprogress }));
  assert.match(told.join('; '), /paying/);
  slow.ms = 0;
  const again = await call('fetch_paid', impatient);
  assert.ok(['bought', 'stored'].includes(again.structuredContent.outcome), JSON.stringify(again));
  const audit = JSON.parse((await client.readResource({ uri: 'bursar://audit' })).contents[0].text);
  const paid = audit.rows.filter((r) => r.state === 'delivered');
  assert.equal(paid.length, 3, JSON.stringify(audit));
  assert.equal((await client.listPrompts()).prompts.length, 1);
  await assert.rejects(client.readResource({ uri: 'bursar://nothing' }));
  console.log(`ts-v1 ${client.getServerVersion().version} over ${over}: three purchases that a person was asked for, one cancelled while it was paid, one token`);
  await client.close();
  await door?.close();
}
