// The MCP Inspector's command line, strict about schemas, in both of MCP's eras and over every transport. It declares no
// elicitation (2.12.0 sets `elicit: false`), so what a person is asked it hears as a refusal that says where to say yes; and
// it has no key to cancel with, so it is ended while the money is under way, as by Ctrl-C.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { slowRelay } from './relay.mjs';
import { homeOf, serve } from './serve.mjs';

const inspector = fileURLToPath(new URL('./node_modules/.bin/mcp-inspector', import.meta.url));
const seller = process.env.PEER_SELLER;

for (const [over, era] of [['stdio', 'legacy'], ['stdio', 'modern'], ['http', 'legacy'], ['http', 'modern'], ['sse', 'legacy']]) {
  const home = homeOf(`${over}-${era}`);
  const slow = await slowRelay(home);
  const door = over === 'stdio' ? undefined : await serve(home);
  const header = door ? ['--header', `Authorization: Bearer ${door.token}`] : [];
  const target = {
    stdio: () => ['-e', `BURSAR_HOME=${home}`, '-e', 'BURSAR_ALLOW_LOOPBACK=1', process.env.PEER_BURSAR, 'serve'],
    http: () => ['--transport', 'http', '--server-url', door.mcp.href, ...header],
    sse: () => ['--transport', 'sse', '--server-url', door.sse.href, ...header],
  }[over]();
  const line = (args) => [inspector, '--cli', '--protocol-era', era, ...target, '--format', 'json', ...args];
  const run = async (args) => {
    const child = spawn(process.execPath, line(args), { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
    const done = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => (done[name] += text));
    [done.status] = await once(child, 'close');
    return done;
  };
  const inspect = async (expected, ...args) => {
    const done = await run(args);
    const said = `${over} ${era} ${args.join(' ')}\n${done.stdout}\n${done.stderr}`;
    assert.equal(done.status, expected, said);
    return done;
  };
  const wish = (tool, args) => ['--method', 'tools/call', '--tool-name', tool, '--tool-args-json', JSON.stringify(args)];
  const call = async (expected, tool, args) => (await inspect(expected, ...wish(tool, args))).stdout;
  const books = () => {
    const env = { BURSAR_HOME: home, PATH: process.env.PATH };
    const audit = spawnSync(process.env.PEER_BURSAR, ['audit', '--all', '--json'], { env, encoding: 'utf8' });
    return JSON.parse(audit.stdout).rows.filter((row) => row.purchase);
  };

  const listed = await inspect(0, '--method', 'tools/list', '--strict');
  assert.doesNotMatch(listed.stderr, /warning/i);
  for (const tool of ['discover_api', 'fetch_paid', 'get_balance', 'set_budget']) assert.match(listed.stdout, new RegExp(tool));
  assert.match(await call(0, 'get_balance', {}), /The wallet holds/);
  assert.match(await call(0, 'set_budget', { scope: 'purchase', limit: '500 sat' }), /"outcome": ?"set"/);
  assert.match(await call(0, 'discover_api', { url: `${seller}/v1/rates` }), /"outcome": ?"quoted"/);
  assert.match(await call(0, 'fetch_paid', { url: `${seller}/v1/rates` }), /"outcome": ?"bought"/);
  assert.match(await call(0, 'fetch_paid', { url: `${seller}/v1/rates` }), /"outcome": ?"token"/);
  assert.match(await call(5, 'set_budget', { scope: 'purchase', limit: '900 sat' }), /needs_a_person/);
  assert.match((await inspect(0, '--method', 'resources/read', '--uri', 'bursar://audit')).stdout, /delivered/);
  assert.match((await inspect(0, '--method', 'prompts/list')).stdout, /audit/);
  // Ended while the money is under way, and asked again: paid once.
  const impatient = wish('fetch_paid', { url: `${seller}/v1/dynamic/impatient` });
  slow.ms = 2500;
  const gaveUp = spawn(process.execPath, line(impatient), { stdio: 'ignore' });
  const ended = once(gaveUp, 'exit');
  const begun = Date.now();
  while (!books().some((row) => row.path.endsWith('/impatient') && row.state === 'paying')) {
    assert.ok(Date.now() - begun < 30_000, 'it does not begin to pay');
    await new Promise((then) => setTimeout(then, 50));
  }
  gaveUp.kill('SIGINT');
  await ended;
  slow.ms = 0;
  let told;
  do {
    told = (await run(impatient)).stdout;
  } while (/"outcome": ?"pending"/.test(told));
  assert.match(told, /"outcome": ?"(stored|bought)"/);
  assert.deepEqual(books().map((row) => row.state), ['delivered', 'delivered']);
  console.log(`inspector ${era} over ${over}: strict list, two purchases, one of them given up while it was paid, one token`);
  await door?.close();
}
