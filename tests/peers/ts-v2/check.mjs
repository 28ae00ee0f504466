// The TypeScript SDK of the second generation, in each way it has of agreeing on a protocol, over standard input and
// output and over HTTP. In `auto` it starts a copy of the server only to look, which is why a start must cost nothing.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import assert from 'node:assert/strict';
import { homeOf, serve } from './serve.mjs';

const seller = process.env.PEER_SELLER;
for (const over of ['stdio', 'http']) {
  for (const mode of ['legacy', 'auto']) {
    const home = homeOf(`${over}-${mode}`);
    const door = over === 'stdio' ? undefined : await serve(home);
    const client = new Client(
      { name: 'peer-ts-v2', version: '1.0.0' },
      { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } },
    );
    let asked = 0;
    client.setRequestHandler('elicitation/create', async () => {
      asked += 1;
      return { action: 'accept', content: { approve: true } };
    });
    await client.connect(door
      ? new StreamableHTTPClientTransport(door.mcp, { requestInit: { headers: door.headers } })
      : new StdioClientTransport({
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
    // A raise is put to the person, in the way this era has for it.
    await call('set_budget', { scope: 'purchase', limit: '600 sat' }, 'set');
    assert.equal(asked, 1);
    await call('discover_api', { url: `${seller}/v1/rates` }, 'quoted');
    const bought = await call('fetch_paid', { url: `${seller}/v1/rates` }, 'bought');
    assert.equal(bought.structuredContent.paid_now, '21 sat');
    await call('fetch_paid', { url: `${seller}/v1/rates` }, 'token');
    // A client that gives up and asks again pays once.
    const impatient = { url: `${seller}/v1/dynamic/impatient` };
    await assert.rejects(client.callTool({ name: 'fetch_paid', arguments: impatient }, { timeout: 1 }));
    const again = await call('fetch_paid', impatient);
    assert.ok(['bought', 'stored'].includes(again.structuredContent.outcome), JSON.stringify(again));
    const audit = JSON.parse((await client.readResource({ uri: 'bursar://audit' })).contents[0].text);
    assert.equal(audit.rows.filter((r) => r.state === 'delivered').length, 2, JSON.stringify(audit));
    assert.equal((await client.listPrompts()).prompts.length, 1);
    await assert.rejects(client.readResource({ uri: 'bursar://nothing' }));
    console.log(`ts-v2 ${mode} over ${over}: two purchases, one token, one yes`);
    await client.close();
    await door?.close();
  }
}
