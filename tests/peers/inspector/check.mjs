// The MCP Inspector's command line, strict about schemas, in both of MCP's eras and over every transport.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { homeOf, serve } from './serve.mjs';

const inspector = fileURLToPath(new URL('./node_modules/.bin/mcp-inspector', import.meta.url));
const seller = process.env.PEER_SELLER;

for (const [over, era] of [['stdio', 'legacy'], ['stdio', 'modern'], ['http', 'legacy'], ['http', 'modern'], ['sse', 'legacy']]) {
  const home = homeOf(`${over}-${era}`);
  const door = over === 'stdio' ? undefined : await serve(home);
  const header = door ? ['--header', `Authorization: Bearer ${door.token}`] : [];
  const target = {
    stdio: () => ['-e', `BURSAR_HOME=${home}`, '-e', 'BURSAR_ALLOW_LOOPBACK=1', process.env.PEER_BURSAR, 'serve'],
    http: () => ['--transport', 'http', '--server-url', door.mcp.href, ...header],
    sse: () => ['--transport', 'sse', '--server-url', door.sse.href, ...header],
  }[over]();
  const inspect = (expected, ...args) => {
    const done = spawnSync(
      process.execPath,
      [inspector, '--cli', '--protocol-era', era, ...target, '--format', 'json', ...args],
      { encoding: 'utf8', timeout: 60_000 },
    );
    const said = `${over} ${era} ${args.join(' ')}\n${done.stdout}\n${done.stderr}`;
    assert.equal(done.status, expected, said);
    return done;
  };
  const call = (expected, tool, args) => inspect(
    expected, '--method', 'tools/call', '--tool-name', tool, '--tool-args-json', JSON.stringify(args)).stdout;

  const listed = inspect(0, '--method', 'tools/list', '--strict');
  assert.doesNotMatch(listed.stderr, /warning/i);
  for (const tool of ['discover_api', 'fetch_paid', 'get_balance', 'set_budget']) assert.match(listed.stdout, new RegExp(tool));
  assert.match(call(0, 'get_balance', {}), /The wallet holds/);
  assert.match(call(0, 'set_budget', { scope: 'purchase', limit: '500 sat' }), /"outcome": ?"set"/);
  assert.match(call(0, 'discover_api', { url: `${seller}/v1/rates` }), /"outcome": ?"quoted"/);
  assert.match(call(0, 'fetch_paid', { url: `${seller}/v1/rates` }), /"outcome": ?"bought"/);
  assert.match(call(0, 'fetch_paid', { url: `${seller}/v1/rates` }), /"outcome": ?"token"/);
  assert.match(call(5, 'set_budget', { scope: 'purchase', limit: '900 sat' }), /needs_a_person/);
  assert.match(inspect(0, '--method', 'resources/read', '--uri', 'bursar://audit').stdout, /delivered/);
  assert.match(inspect(0, '--method', 'prompts/list').stdout, /audit/);
  console.log(`inspector ${era} over ${over}: strict list, one purchase, one token`);
  await door?.close();
}
