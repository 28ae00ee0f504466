// The TypeScript SDK of the second generation, in each way it has of agreeing on a protocol, over every transport it has. In
// `auto` it starts a copy of the server only to look, which is why a start must cost nothing.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { slowRelay } from './relay.mjs';
import { homeOf, serve } from './serve.mjs';

const seller = process.env.PEER_SELLER;
const MODERN = '2026-07-28';
// In `auto` a client may fall back to the handshake without a word: what was agreed on is looked at.
const WAYS = [
  ['stdio', 'legacy', '2025-11-25'],
  ['stdio', 'auto', MODERN],
  ['stdio', { pin: MODERN }, MODERN],
  ['http', 'legacy', '2025-11-25'],
  ['http', 'auto', MODERN],
  ['http', { pin: MODERN }, MODERN],
  ['sse', 'legacy', '2025-11-25'],
];
for (const [over, mode, version] of WAYS) {
  const named = mode.pin ? 'pinned' : mode;
  const home = homeOf(`${over}-${named}`);
  writeFileSync(`${home}/config.toml`, '[approval]\nabove = { sat = "20" }\n', { mode: 0o600 });
  const slow = await slowRelay(home);
  const door = over === 'stdio' ? undefined : await serve(home);
  const client = new Client(
    { name: 'peer-ts-v2', version: '1.0.0' },
    { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } },
  );
  const asked = [];
  client.setRequestHandler('elicitation/create', async ({ params }) => {
    asked.push(params.message);
    return { action: 'accept', content: { approve: true } };
  });
  await client.connect({
    stdio: () => new StdioClientTransport({
      command: process.env.PEER_BURSAR,
      args: ['serve'],
      env: { BURSAR_HOME: home, BURSAR_ALLOW_LOOPBACK: '1', PATH: process.env.PATH },
    }),
    http: () => new StreamableHTTPClientTransport(door.mcp, { requestInit: { headers: door.headers } }),
    sse: () => new SSEClientTransport(door.sse, { requestInit: { headers: door.headers } }),
  }[over]());
  assert.equal(client.getNegotiatedProtocolVersion(), version);
  const call = async (name, args, outcome) => {
    const result = await client.callTool({ name, arguments: args });
    if (outcome) assert.equal(result.structuredContent.outcome, outcome, JSON.stringify(result));
    return result;
  };
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((t) => t.name), ['discover_api', 'fetch_paid', 'get_balance', 'set_budget']);
  assert.match((await call('get_balance', {})).content[0].text, /^The wallet holds/);
  await call('set_budget', { scope: 'purchase', limit: '500 sat' }, 'set');
  // A raise is put to the person, in the way this era has for it.
  await call('set_budget', { scope: 'purchase', limit: '600 sat' }, 'set');
  assert.equal(asked.length, 1);
  await call('discover_api', { url: `${seller}/v1/rates` }, 'quoted');
  // So is a purchase above what the operator lets it buy unasked.
  const bought = await call('fetch_paid', { url: `${seller}/v1/rates` }, 'bought');
  assert.equal(asked.length, 2);
  assert.match(asked[1], /^Pay 21 sat .*\/v1\/rates/);
  assert.equal(bought.structuredContent.paid_now, '21 sat');
  await call('fetch_paid', { url: `${seller}/v1/rates` }, 'token');
  // A client that cancels while the money is under way, and asks again, pays once.
  const impatient = { url: `${seller}/v1/dynamic/impatient` };
  slow.ms = 2500;
  const gaveUp = new AbortController();
  const told = [];
  const onprogress = ({ message }) => {
    told.push(message);
    if (/paying/.test(message)) gaveUp.abort();
  };
  await assert.rejects(client.callTool({ name: 'fetch_paid', arguments: impatient }, { signal: gaveUp.signal, onprogress }));
  assert.match(told.join('; '), /paying/);
  slow.ms = 0;
  const again = await call('fetch_paid', impatient);
  assert.ok(['bought', 'stored'].includes(again.structuredContent.outcome), JSON.stringify(again));
  const audit = JSON.parse((await client.readResource({ uri: 'bursar://audit' })).contents[0].text);
  assert.equal(audit.rows.filter((r) => r.state === 'delivered').length, 2, JSON.stringify(audit));
  assert.equal((await client.listPrompts()).prompts.length, 1);
  await assert.rejects(client.readResource({ uri: 'bursar://nothing' }));
  console.log(`ts-v2 ${named} over ${over}: ${version}, two purchases that a person was asked for, one cancelled while it was paid, one token`);
  await client.close();
  await door?.close();
}
