// The TypeScript SDK of the first generation, which most hosts are built on: it speaks the handshake only.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import assert from 'node:assert/strict';

const seller = process.env.PEER_SELLER;
const client = new Client({ name: 'peer-ts-v1', version: '1.0.0' }, { capabilities: {} });
await client.connect(new StdioClientTransport({
  command: process.env.PEER_BURSAR,
  args: ['serve'],
  env: { BURSAR_HOME: process.env.PEER_HOME, BURSAR_ALLOW_LOOPBACK: '1', PATH: process.env.PATH },
}));

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
await call('discover_api', { url: `${seller}/v1/rates` }, 'quoted');
const bought = await call('fetch_paid', { url: `${seller}/v1/rates` }, 'bought');
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
// A client that gives up and asks again pays once.
const impatient = { url: `${seller}/v1/dynamic/impatient` };
await assert.rejects(client.callTool({ name: 'fetch_paid', arguments: impatient }, undefined, { timeout: 1 }));
const again = await call('fetch_paid', impatient);
assert.ok(['bought', 'stored'].includes(again.structuredContent.outcome), JSON.stringify(again));
const audit = JSON.parse((await client.readResource({ uri: 'bursar://audit' })).contents[0].text);
const paid = audit.rows.filter((r) => r.state === 'delivered');
assert.equal(paid.length, 3, JSON.stringify(audit));
assert.equal((await client.listPrompts()).prompts.length, 1);
await assert.rejects(client.readResource({ uri: 'bursar://nothing' }));
console.log(`ts-v1 ${client.getServerVersion().version}: three purchases, one token`);
await client.close();
