// How long a warm call takes, Bursar beside Alby's NWC client: the same wallet, the same relay, the same minute, turn
// about, on the same clock. A balance and a payment must take at most half of the time that Alby's client takes: a row
// that took more is measured again, up to three rounds, since the machine may have been busy; one that took more in each
// of them fails the run. The row of whole purchases is for people to read.
//
// Each row compares what is alike: a balance with a balance, paying one invoice with paying one invoice, a purchase with
// a purchase. No tool of Bursar's pays a bare invoice, since nothing is paid without the ledger; so PEER_PAYER, which is
// Bursar's wallet without its server (benches/nwc.rs), does that here: invoices in, a line when each is paid. Both its
// pipes are within the time that counts.
import { NWCClient } from '@getalby/sdk/nwc';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const CALLS = 40;
const ROUNDS = 3;
const MOST = 0.5;
const seller = process.env.PEER_SELLER;
const client = new NWCClient({ nostrWalletConnectUrl: readFileSync(process.env.PEER_NWC_FILE, 'utf8').trim() });

// One server that lives as long as a host does, spoken to line by line.
const server = spawn(process.env.PEER_BURSAR, ['serve'], {
  env: { BURSAR_HOME: process.env.PEER_HOME, BURSAR_ALLOW_LOOPBACK: '1', PATH: process.env.PATH },
  stdio: ['pipe', 'pipe', 'ignore'],
});
const payer = process.env.PEER_PAYER && spawn(process.env.PEER_PAYER, ['--pay-lines', process.env.PEER_NWC_FILE], {
  env: { PATH: process.env.PATH }, stdio: ['pipe', 'pipe', 'inherit'],
});
process.on('exit', () => {
  server.kill('SIGKILL');
  if (payer) payer.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));
const waiting = new Map();
createInterface({ input: server.stdout }).on('line', (line) => {
  const message = JSON.parse(line);
  waiting.get(message.id)?.(message);
  waiting.delete(message.id);
});
server.on('exit', () => { for (const done of waiting.values()) done({ error: 'the server ended' }); });
let next = 1;
const request = (method, params) => new Promise((done, fail) => {
  const id = next++;
  waiting.set(id, (message) => (message.error ? fail(new Error(JSON.stringify(message.error))) : done(message.result)));
  server.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
});
const clientInfo = { name: 'peer-latency', version: '1.0.0' };
await request('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo });
server.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
const call = (name, args) => request('tools/call', { name, arguments: args });

const paid = payer && createInterface({ input: payer.stdout })[Symbol.asyncIterator]();
const payInvoice = async (invoice) => {
  payer.stdin.write(`${invoice}\n`);
  const { value } = await paid.next();
  assert.equal(value, 'paid');
};

let path = 0;
const unpaid = async () => {
  const response = await fetch(`${seller}/v1/dynamic/${++path}`);
  await response.text();
  assert.equal(response.status, 402);
  const challenge = response.headers.get('www-authenticate');
  const [, token, invoice] = /L402 macaroon="([^"]+)", invoice="([^"]+)"/.exec(challenge);
  return { url: response.url, token, invoice };
};
const buy = async (url) => {
  const { structuredContent } = await call('fetch_paid', { url });
  assert.equal(structuredContent.outcome, 'bought', JSON.stringify(structuredContent));
};
const timed = async (into, work) => {
  const begun = performance.now();
  const result = await work();
  into.push(performance.now() - begun);
  return result;
};

// Both have connected and bought once before anything counts.
await client.getBalance();
await client.payInvoice({ invoice: (await unpaid()).invoice });
if (payer) await payInvoice((await unpaid()).invoice);
await call('get_balance', {});
await buy(`${seller}/v1/dynamic/${++path}`);

// Each measures one row: ours and theirs, turn about.
const rows = {
  get_balance: async (own, sdk) => {
    const { balance } = await timed(sdk, () => client.getBalance());
    const { structuredContent } = await timed(own, () => call('get_balance', {}));
    assert.equal(structuredContent.wallets[0].balance, `${balance / 1000} sat`);
  },
  pay_invoice: payer && (async (own, sdk) => {
    const [theirs, ours] = [await unpaid(), await unpaid()];
    await timed(sdk, () => client.payInvoice({ invoice: theirs.invoice }));
    await timed(own, () => payInvoice(ours.invoice));
  }),
  purchase: async (own, sdk) => {
    await timed(sdk, async () => {
      const { url, token, invoice } = await unpaid();
      const { preimage } = await client.payInvoice({ invoice });
      const response = await fetch(url, { headers: { authorization: `L402 ${token}:${preimage}` } });
      await response.text();
      assert.equal(response.status, 200);
    });
    const url = `${seller}/v1/dynamic/${++path}`;
    await timed(own, () => buy(url));
  },
};
const held = ['get_balance', 'pay_invoice'];

const at = (list, part) => list.toSorted((a, b) => a - b)[Math.floor((list.length - 1) * part)];
const ms = (list) => [at(list, 0.5), at(list, 0.9)].map((n) => n.toFixed(1).padStart(6)).join(' /');
console.log(`latency: ${CALLS} warm calls each, p50 / p90 in ms`);
console.log('latency:                 bursar        @getalby/sdk   ratio of the p50');
let slow = Object.keys(rows).filter((name) => rows[name]);
for (let round = 1; round <= ROUNDS && slow.length; round++) {
  const again = [];
  for (const name of slow) {
    const [own, sdk] = [[], []];
    for (let i = 0; i < CALLS; i++) await rows[name](own, sdk);
    const ratio = at(own, 0.5) / at(sdk, 0.5);
    const verdict = !held.includes(name) ? '' : ratio <= MOST ? 'at most half' : 'MORE THAN HALF';
    const which = round > 1 ? `  (round ${round})` : '';
    console.log(`latency: ${name.padEnd(12)} ${ms(own)}   ${ms(sdk)}   ${ratio.toFixed(2)}  ${verdict}${which}`.trimEnd());
    if (ratio > MOST && held.includes(name)) again.push(name);
  }
  slow = again;
}
console.log("latency: bursar's get_balance is its MCP tool: get_info, get_balance, perhaps get_budget, and the ledger");
console.log("latency: its pay_invoice is its wallet's: read the invoice, sign, send, check the proof;");
console.log('latency: tests/peers/run builds that one without optimisation, so the product is faster');
console.log("latency: a purchase is fetch_paid, with limits and books; for the SDK two bare GETs and payInvoice");
if (slow.length) console.log(`latency: ${slow.join(' and ')} took more than half of the SDK's p50 in each of ${ROUNDS} rounds`);
server.stdin.end();
client.close();
process.exit(slow.length ? 1 : 0);
