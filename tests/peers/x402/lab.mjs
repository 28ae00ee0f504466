// The x402 lab: a chain, a facilitator that can misbehave, and sellers, all of them written by others or thin shells
// around what others wrote. Everything is on loopback, on free ports.
//
//   LAB_BUYERS=0x...,0x... node lab.mjs
//
// LAB_BUYERS are the addresses, or the keys (64 hex digits), that get 1000 USDC each. LAB_PYTHON_V2 and LAB_PYTHON_V1
// name the Pythons of the two FastAPI sellers. LAB_TIMEOUT_MS (3000) is how long the sellers on @x402/express wait for
// their facilitator. LAB_VERBOSE=1 shows what the parts complain of. When all is up, one line of JSON goes to standard output. The lab ends, and everything in it, when
// its standard input closes or on SIGTERM.
//
// On the control URL:
//   GET  /chain         {token, balances: {address: units}, transfers: [{from, to, value, nonce, tx, block}]}, where the
//                       balances are those of buyers and payees; ?from=0x... keeps one buyer's transfers
//   GET  /used?from=0x...&nonce=0x...   {used}: what authorizationState says
//   GET  /facilitator   the facilitator's switches and counts; POST sets them (see facilitator.mjs)
//   GET  /seen          what each seller on @x402/express was asked, and how many payments each path was shown
//   GET  /spoiled       how many answers the proxies spoiled, each way (see proxy.mjs)
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { getAddress, isAddress } from 'viem';
import { privateKeyToAddress } from 'viem/accounts';
import { CHAIN_ID, Chain, TOKEN, anvil, anvilArgs } from './chain.mjs';

const FUNDS = 1_000_000_000n;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const payee = (name) => getAddress(`0x${createHash('sha256').update(`payee of ${name}`).digest('hex').slice(24)}`);

const children = [];
let ending = false;
async function end(status) {
  if (ending) return;
  ending = true;
  const all = children.map((child) => new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) done();
    child.on('exit', done);
    child.stdin.destroy();
    setTimeout(() => child.kill('SIGKILL'), 2000).unref();
  }));
  await Promise.all(all);
  process.exit(status);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => end(0));
process.stdin.on('end', () => end(0)).on('error', () => end(0)).resume();
process.on('uncaughtException', (error) => { console.error(error); end(1); });
process.on('unhandledRejection', (error) => { console.error(error); end(1); });

// Each part gets a pipe as its standard input and ends when that closes, so that it cannot outlive the lab, however the
// lab ends. Nothing of this process's environment but the path goes to it: no proxy, no key.
function run(name, command, args, env, found = (line) => (line.startsWith('{') ? JSON.parse(line) : undefined)) {
  const child = spawn(command, args, {
    cwd: here('.'), stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1', NO_PROXY: '*', ...env },
  });
  children.push(child);
  child.stdin.on('error', () => {});
  let complaints = '';
  child.stderr.on('data', (data) => {
    complaints = (complaints + data).slice(-20_000);
    if (process.env.LAB_VERBOSE === '1') process.stderr.write(data);
  });
  return new Promise((done, fail) => {
    const late = setTimeout(() => fail(new Error(`${name} says nothing`)), 60_000);
    child.on('error', fail);
    child.on('exit', (status) => {
      if (ending) return;
      const gone = new Error(`${name} ended with ${status}: ${complaints}`);
      fail(gone);
      throw gone;
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      const words = found(line);
      if (!words) return;
      clearTimeout(late);
      done(words);
    });
  });
}
const at = ({ port }) => `http://127.0.0.1:${port}`;
const script = (name, file, env) => run(name, process.execPath, [here(file)], env).then(at);
const python = (name, program, file, env) => run(name, program, [here(file)], env).then(at);

// anvil does not look at its standard input, so a shell does.
const KEEP = '"$@" & kept=$!; trap "kill $kept; wait $kept" EXIT; cat > /dev/null';
const rpc = at(await run('anvil', 'sh', ['-c', KEEP, 'sh', anvil(), ...anvilArgs], {},
  (line) => /^Listening on 127\.0\.0\.1:(?<port>\d+)/.exec(line)?.groups));
const chain = new Chain(rpc);
await chain.setToken();
const buyers = (process.env.LAB_BUYERS ?? '').split(',').filter(Boolean)
  .map((one) => (isAddress(one) ? getAddress(one) : privateKeyToAddress(`0x${one.replace(/^0x/, '')}`)));
for (const buyer of buyers) await chain.mint(buyer, FUNDS);

const facilitator = await script('facilitator', 'facilitator.mjs', { LAB_RPC: rpc });
const names = ['express-v2', 'express-v1', 'fastapi-v2', 'fastapi-v1', 'other', 'moved'];
const pay_to = Object.fromEntries(names.map((name) => [name, payee(name)]));
const env = (name) => ({ LAB_NAME: name, LAB_PAY_TO: pay_to[name], LAB_FACILITATOR: facilitator });
const express = (name, more = {}) => script(name, 'server_v2.mjs', {
  ...env(name), LAB_OTHER_PAYEE: pay_to.moved, LAB_TIMEOUT_MS: process.env.LAB_TIMEOUT_MS ?? '3000', ...more,
});
const other = await express('other', { LAB_OTHER_ORIGIN: 'http://127.0.0.1:9' });
const [v2, v1, py2, py1] = await Promise.all([
  express('express-v2', { LAB_OTHER_ORIGIN: other }),
  script('express-v1', 'server_v1.mjs', env('express-v1')),
  python('fastapi-v2', process.env.LAB_PYTHON_V2 ?? here('../x402-py-v2/bin/python'), 'server_v2.py', env('fastapi-v2')),
  python('fastapi-v1', process.env.LAB_PYTHON_V1 ?? here('../x402-py-v1/bin/python'), 'server_v1.py', env('fastapi-v1')),
]);
const servers = { 'express-v2': v2, 'express-v1': v1, 'fastapi-v2': py2, 'fastapi-v1': py1 };
const proxy = await run('proxy', process.execPath, [here('proxy.mjs')], { LAB_TARGETS: JSON.stringify(servers) });
const proxies = Object.fromEntries(Object.entries(proxy.ports).map(([name, port]) => [name, at({ port })]));

const control = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://lab');
  const json = async (from, init) => (await fetch(from, init)).json();
  const asked = {
    async '/chain'() {
      const from = url.searchParams.get('from')?.toLowerCase();
      const transfers = (await chain.transfers()).filter((one) => !from || one.from.toLowerCase() === from);
      const balances = {};
      for (const address of [...buyers, ...Object.values(pay_to)]) balances[address] = await chain.balanceOf(address);
      return { token: TOKEN, balances, transfers };
    },
    async '/used'() {
      return { used: await chain.used(url.searchParams.get('from'), url.searchParams.get('nonce')) };
    },
    async '/facilitator'() {
      if (request.method !== 'POST') return json(`${facilitator}/control`);
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      return json(`${facilitator}/control`, { method: 'POST', body: Buffer.concat(chunks) });
    },
    async '/seen'() {
      return { 'express-v2': await json(`${v2}/seen`), other: await json(`${other}/seen`) };
    },
    async '/spoiled'() {
      return json(`${Object.values(proxies)[0]}/spoiled`);
    },
  }[url.pathname];
  try {
    const body = await asked?.();
    response.writeHead(body ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}));
  } catch (error) {
    response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ error: String(error) }));
  }
});
control.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({
    control: `http://127.0.0.1:${control.address().port}`, rpc, chain_id: CHAIN_ID, token: TOKEN, facilitator,
    servers,
    versions: { 'express-v2': 2, 'express-v1': 1, 'fastapi-v2': 2, 'fastapi-v1': 1 },
    proxies, other, pay_to, buyers,
  }));
});
