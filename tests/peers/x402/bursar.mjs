// Bursar as a host runs it: one server that lives on, spoken to line by line, with a purse of its own.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CONFIG = (rpc) => `[evm.chains.base-sepolia]
rpc = ["${rpc}"]

[limits.ceiling]
usd = { purchase = "10", session = "1000", day = "1000" }

[limits.default]
usd = { purchase = "10", session = "1000", day = "1000" }

[waits]
answer = 4
exit = 1
`;

// Micro-dollars of "0.001 usd"; what is absent is nothing.
export const units = (amount) => {
  if (amount === undefined || amount === null) return 0;
  const [, whole, part = ''] = /^(\d+)(?:\.(\d{1,6}))? usd$/.exec(amount) ?? assert.fail(`not an amount in usd: ${amount}`);
  return Number(whole) * 1_000_000 + Number(part.padEnd(6, '0'));
};

const parent = process.env.PEER_HOME ?? mkdtempSync(`${tmpdir()}/bursar-x402-`);
if (!process.env.PEER_HOME) process.on('exit', () => rmSync(parent, { recursive: true, force: true }));

// A home that holds a key and knows the chain (and what else its config says), and the servers and reports on it.
export function makePurse(rpc, key, name, more = '') {
  const home = `${parent}/x402-${name}`;
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(`${home}/config.toml`, CONFIG(rpc) + more, { mode: 0o600 });
  writeFileSync(`${home}/evm.key`, `${key}\n`, { mode: 0o600 });
  const env = { BURSAR_HOME: home, BURSAR_ALLOW_LOOPBACK: '1', PATH: process.env.PATH };
  return {
    // `binary`: another build of it than the one that is tried.
    serve: (more = {}, binary = process.env.PEER_BURSAR) => serve({ ...env, ...more }, binary),
    // What a person reads afterwards, all sessions of it.
    async audit() {
      const { stdout } = await run(process.env.PEER_BURSAR, ['audit', '--all', '--json'], { env, maxBuffer: 1 << 26 });
      return JSON.parse(stdout);
    },
    async verify() {
      await run(process.env.PEER_BURSAR, ['audit', 'verify'], { env });
    },
  };
}

async function serve(env, binary) {
  const server = spawn(binary, ['serve'], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  let log = '';
  server.stderr.on('data', (data) => { log = (log + data).slice(-20_000); });
  server.stdin.on('error', () => {});
  const kill = () => server.kill('SIGKILL');
  process.on('exit', kill);
  const waiting = new Map();
  let ended = false;
  createInterface({ input: server.stdout }).on('line', (line) => {
    const message = JSON.parse(line);
    waiting.get(message.id)?.(message);
    waiting.delete(message.id);
  });
  const gone = new Promise((done) => {
    server.on('error', (error) => { log += error.message; done(); });
    // Standard output may still hold an answer when the process is gone.
    server.on('close', done);
  }).then(() => {
    ended = true;
    process.off('exit', kill);
    for (const done of waiting.values()) done({ error: `the server ended: ${log}` });
  });
  let next = 1;
  const request = (method, params) => new Promise((done, fail) => {
    if (ended) return fail(new Error(`the server ended: ${log}`));
    const id = next++;
    // It answers within 4 s here, and within 45 s anywhere.
    const late = setTimeout(() => fail(new Error(`no answer to ${method} ${JSON.stringify(params)} in 60 s`)), 60_000);
    waiting.set(id, ({ error, result }) => {
      clearTimeout(late);
      if (error) fail(new Error(JSON.stringify(error)));
      else done(result);
    });
    server.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
  });
  const clientInfo = { name: 'peer-x402', version: '1.0.0' };
  await request('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo });
  server.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');

  const call = (name, args) => request('tools/call', { name, arguments: args });
  return {
    call,
    async fetchPaid(args) {
      const { content, structuredContent } = await call('fetch_paid', args);
      assert.ok(structuredContent, JSON.stringify(content));
      return { ...structuredContent, said: content.find(({ type }) => type === 'text')?.text ?? '' };
    },
    ended: () => ended,
    async kill() {
      kill();
      await gone;
    },
    async end() {
      server.stdin.end();
      await gone;
    },
  };
}

// What the ledger says of the purchases of these paths: how many, what left, what is still held.
export const booked = (audit, ...paths) => {
  const rows = audit.rows.filter(({ purchase, path }) => purchase && paths.includes(path.replace(/^[A-Z]+ /, '')));
  const sum = (field) => rows.reduce((total, row) => total + units(row[field]), 0);
  const states = rows.map(({ state }) => state).join(', ') || 'nothing';
  return { count: rows.length, states, paid: sum('paid') + sum('fee'), held: sum('held') };
};
