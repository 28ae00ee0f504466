// The TypeScript SDK of the second generation, in each way it has of agreeing on a protocol. In `auto` it starts a copy
// of the server only to look, which is why a start must cost nothing.
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';

const seller = process.env.PEER_SELLER;
for (const mode of ['legacy', 'auto']) {
  const home = `${process.env.PEER_HOME}/${mode}`;
  mkdirSync(home, { mode: 0o700 });
  copyFileSync(`${process.env.PEER_HOME}/wallet.nwc`, `${home}/wallet.nwc`);
  const client = new Client({ name: 'peer-ts-v2', version: '1.0.0' }, { capabilities: {}, versionNegotiation: { mode } });
  await client.connect(new StdioClientTransport({
    command: process.env.PEER_BURSAR,
    args: ['serve'],
    env: { BURSAR_HOME: home, BURSAR_ALLOW_LOOPBACK: '1', PATH: process.env.PATH },
  }));
  const call = async (name, args, outcome) => {
    const result = await client.callTool({ name, arguments: args });
    if (outcome) assert.equal(result.structuredContent.outcome, outcome, JSON.stringify(result));
    return result;
  };
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((t) => t.name), ['discover_api', 'fetch_paid', 'get_balance', 'set_budget']);
  assert.match((await call('get_balance', {})).content[0].text, /^The wallet holds/);
  await call('set_budget', { scope: 'purchase', limit: '500 sat' }, 'set');
  await call('discover_api', { url: `${seller}/v1/rates` }, 'quoted');
  const bought = await call('fetch_paid', { url: `${seller}/v1/rates` }, 'bought');
  assert.equal(bought.structuredContent.paid_now, '21 sat');
  await call('fetch_paid', { url: `${seller}/v1/rates` }, 'token');
  const audit = await client.readResource({ uri: 'bursar://audit' });
  assert.match(audit.contents[0].text, /delivered/);
  assert.equal((await client.listPrompts()).prompts.length, 1);
  await assert.rejects(client.readResource({ uri: 'bursar://nothing' }));
  console.log(`ts-v2 ${mode}: one purchase, one token`);
  await client.close();
}
