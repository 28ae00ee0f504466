// Purchases from every seller by every buyer, turn about, so that all of them meet the same machine in the same state.
// The table is for people to read; an answer that is wrong fails the run.
import { wrapFetchWithPayment } from '@x402/fetch';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { buyer } from './world.mjs';


async function httpx(key) {
  const here = (name) => fileURLToPath(new URL(name, import.meta.url));
  const program = process.env.LAB_PYTHON_V2 ?? here('../x402-py-v2/bin/python');
  const child = spawn(program, [here('bench_httpx.py')], {
    stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: process.env.PATH, LAB_KEY: `0x${key}`, PYTHONDONTWRITEBYTECODE: '1' },
  });
  child.stdin.on('error', () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('bench_httpx.py ended');
    return JSON.parse(value);
  };
  await line();
  return {
    async buy(url) {
      child.stdin.write(`${url}\n`);
      return line();
    },
    async end() {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

const timed = async (work) => {
  const begun = performance.now();
  const body = await work();
  return { ms: performance.now() - begun, body };
};
const json = async (response) => {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
};

// Without a Bursar, the other buyers are measured alone.
export async function bench(lab, key, bursar, purchases) {
  const sdk = buyer(key);
  const pay = wrapFetchWithPayment(fetch, sdk.client);
  const python = await httpx(key);
  const buyers = {
    // The least there can be: the price is known and signed before the clock starts.
    floor: async (url) => {
      const { headers } = await sdk.sign(url);
      return timed(async () => json(await fetch(url, { headers })));
    },
    ...(bursar && {
      bursar: (url) => timed(async () => {
        const answer = await bursar.fetchPaid({ url });
        assert.equal(answer.outcome, 'bought', JSON.stringify(answer));
        assert.equal(answer.paid_now, '0.001 usd');
        return JSON.parse(answer.result.text_unverified);
      }),
    }),
    '@x402/fetch': (url) => timed(async () => json(await pay(url))),
    'python httpx': (url) => python.buy(url),
  };
  const times = {};
  for (const [server, origin] of Object.entries(lab.servers)) {
    for (let i = -1; i < purchases; i++) {
      for (const [name, buy] of Object.entries(buyers)) {
        // Its own name at every seller: the ledger's rows are told apart by their paths.
        const item = `${server}-${name.replace(/\W+/g, '-')}-${i}`;
        const { ms, body } = await buy(`${origin}/item/${item}`);
        assert.deepEqual(body, { item, by: server }, `${name} at ${server}`);
        // The first one opens connections.
        if (i >= 0) ((times[name] ??= {})[server] ??= []).push(ms);
      }
    }
  }
  await python.end();

  const at = (list, part) => list.toSorted((a, b) => a - b)[Math.floor((list.length - 1) * part)];
  const cell = (list) => [0.5, 0.95].map((part) => at(list, part).toFixed(1).padStart(6)).join(' /').padStart(18);
  console.log(`x402: ${purchases} purchases each, p50 / p95 in ms`);
  console.log(`x402: ${''.padEnd(13)}${Object.keys(lab.servers).map((name) => name.padStart(18)).join('')}`);
  for (const [name, row] of Object.entries(times)) {
    console.log(`x402: ${name.padEnd(13)}${Object.values(row).map(cell).join('')}`);
  }
  console.log('x402: the floor is one round trip with a payment that was signed before; verifying and settling are in it');
}
