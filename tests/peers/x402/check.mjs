// Bursar pays with USDC at sellers that others wrote, and the chain is the witness. First the lab itself is checked,
// with @x402/fetch. PEER_X402_LAB_ONLY=1 leaves Bursar out.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { bench } from './bench.mjs';
import { booked, makePurse, units } from './bursar.mjs';
import { hazards, hazardsOfSdk } from './hazards.mjs';
import { checkLab } from './lab_check.mjs';
import { buyer, moved, startLab } from './world.mjs';

const PURCHASES = 50;
const [labKey, key, benchKey, sdkKey] = Array.from({ length: 4 }, () => randomBytes(32).toString('hex'));
const { address } = buyer(key);

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));
const begun = performance.now();
const lab = await startLab([labKey, key, benchKey, sdkKey]);
console.log(`x402: the lab is up after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
await checkLab(lab, labKey);

if (process.env.PEER_X402_LAB_ONLY === '1') {
  await bench(lab, benchKey, undefined, PURCHASES);
  const found = await hazardsOfSdk(lab, sdkKey);
  for (const [name, what] of Object.entries(found)) console.log(`x402: ${name}: @x402/fetch moved ${what}`);
  await lab.end();
  process.exit(0);
}

const purse = makePurse(lab.rpc, key, 'main');
const bursar = await purse.serve();
const balance = await bursar.call('get_balance', {});
console.log(`x402: get_balance says: ${balance.content[0].text.split('\n')[0]}`);
await bench(lab, benchKey, bursar, PURCHASES);

// The ledger and the chain, payee by payee, to the unit.
const paid = (audit) => audit.totals.money.find(({ spent }) => spent.endsWith(' usd'));
const { transfers, balances } = await lab.chain(address);
const { by, sum } = moved(transfers);
const audit = await purse.audit();
for (const name of Object.keys(lab.servers)) {
  const paths = Array.from({ length: PURCHASES + 1 }, (_, i) => `/item/${name}-bursar-${i - 1}`);
  const books = booked(audit, ...paths);
  assert.equal(books.count, PURCHASES + 1, name);
  assert.ok(books.states.split(', ').every((state) => state === 'delivered'), books.states);
  assert.equal(books.held, 0, name);
  assert.equal(books.paid, by[lab.pay_to[name]], name);
  assert.equal(books.paid, (PURCHASES + 1) * 1000, name);
}
assert.equal(units(paid(audit).spent), sum);
assert.equal(units(paid(audit).held), 0);
assert.equal(Number(balances[address]), 1_000_000_000 - sum);
console.log(`x402: ${transfers.length} purchases, ${sum} units in the ledger and on the chain`);

// Other ways to ask: with a body, with a price that is too high, with one that is high and allowed.
for (const [name, origin] of Object.entries(lab.servers)) {
  const echo = await bursar.fetchPaid({ url: `${origin}/echo`, method: 'POST', json: { a: [1] } });
  assert.equal(echo.outcome, 'bought', echo.said);
  assert.deepEqual(JSON.parse(echo.result.text_unverified), { echo: { a: [1] }, by: name });
  const refused = await bursar.fetchPaid({ url: `${origin}/dear`, max_price: '1 usd' });
  assert.equal(refused.outcome, 'refused', refused.said);
}
const dear = await bursar.fetchPaid({ url: `${lab.servers['express-v2']}/dear`, max_price: '5 usd' });
assert.equal(dear.outcome, 'bought', dear.said);
assert.equal(dear.paid_now, '5 usd');
const after = moved((await lab.chain(address)).transfers);
assert.equal(after.sum, sum + 4 * 10_000 + 5_000_000);
assert.equal(units(paid(await purse.audit()).spent), after.sum);

const theirs = await hazardsOfSdk(lab, sdkKey);
await bursar.end();
await purse.verify();
const wrong = await hazards(lab, key, address, theirs);
const { transfers: all } = await lab.chain(address);
console.log(`x402: in the end Bursar made ${all.length} transfers of ${moved(all).sum} units`);
if (new Set(all.map(({ nonce }) => nonce)).size !== all.length) wrong.push('a nonce was used twice');
await lab.end();
for (const line of wrong) console.error(`x402: WRONG ${line}`);
process.exit(wrong.length ? 1 : 0);
