// Bursar pays MPP sellers that others wrote, on Tempo and on an EVM chain, and the chains are the witnesses.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { getAddress } from 'viem';
import { privateKeyToAddress } from 'viem/accounts';
import { booked, makePurse, units } from './bursar.mjs';
import { end, spoiler, startLab } from './lab.mjs';

const CENT = 10_000;
const TIMES = 3;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));
const [key, sponsorKey] = [randomBytes(32), randomBytes(32)];
const [buyer, sponsor] = [key, sponsorKey].map((one) => privateKeyToAddress(`0x${one.toString('hex')}`));
const payTo = Object.fromEntries(['mppx', 'pympp', 'mpp-rs'].map((name) => (
  [name, getAddress(`0x${createHash('sha256').update(`payee of ${name}`).digest('hex').slice(24)}`)])));

const begun = performance.now();
const { tempo, base, tempoRpc, baseRpc, servers } = await startLab(buyer, sponsor, sponsorKey, payTo);
console.log(`mpp: the lab is up after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
const purse = makePurse(baseRpc, key.toString('hex'), 'mpp', `\n[evm.chains.tempo-moderato]\nrpc = ["${tempoRpc}"]\n`);
const bursar = await purse.serve();
console.log(`mpp: get_balance says: ${(await bursar.call('get_balance', {})).content[0].text.split('\n')[0]}`);

const kinds = [['mppx', 'tempo'], ['mppx', 'sponsored'], ['mppx', 'evm'], ['pympp', 'tempo'], ['pympp', 'evm'],
  ['mpp-rs', 'tempo']].filter(([by]) => servers[by]);
const count = (...wanted) => kinds.filter(([, kind]) => wanted.includes(kind)).length * TIMES;
for (const [by, kind] of kinds) {
  for (let n = 0; n < TIMES; n++) {
    const took = performance.now();
    const told = await bursar.fetchPaid({ url: `${servers[by]}/${kind}/${by}-${n}` });
    assert.equal(told.outcome, 'bought', `${by} ${kind}: ${told.said}`);
    assert.deepEqual(JSON.parse(told.result.text_unverified), { item: `${by}-${n}`, by });
    if (n === 0) console.log(`mpp: ${by} ${kind} in ${(performance.now() - took).toFixed(0)} ms: ${told.said.split('\n')[0]}`);
  }
}
const dear = await bursar.fetchPaid({ url: `${servers.mppx}/tempo/dear`, max_price: '0.009 usd' });
assert.equal(dear.outcome, 'refused', dear.said);

// A charge of nothing is opened by a proof that mppx checks, and is no purchase.
const proved = await bursar.fetchPaid({ url: `${servers.mppx}/proof/1` });
assert.equal(proved.outcome, 'free', proved.said);
assert.deepEqual(JSON.parse(proved.result.text_unverified), { item: '1', by: 'mppx' });
console.log(`mpp: a charge of nothing: ${proved.said.split('\n')[0]}`);

// The ledger and the chains, seller by seller, to the unit.
const audit = await purse.audit();
for (const [by, kind] of kinds) {
  const books = booked(audit, ...Array.from({ length: TIMES }, (_, n) => `/${kind}/${by}-${n}`));
  assert.equal(books.count, TIMES, `${by} ${kind}`);
  assert.ok(books.states.split(', ').every((state) => state === 'delivered'), books.states);
  assert.equal(books.held, 0, `${by} ${kind}`);
}
const spent = (test) => audit.rows.filter(({ purchase, path }) => purchase && test(path.replace(/^[A-Z]+ /, '')))
  .reduce((sum, row) => ({ paid: sum.paid + units(row.paid), fee: sum.fee + units(row.fee) }), { paid: 0, fee: 0 });
const onTempo = await tempo.paidBy(buyer);
const onBase = await base.paidBy(buyer);
const [ofTempo, ofBase] = [spent((path) => !path.startsWith('/evm/')), spent((path) => path.startsWith('/evm/'))];
assert.equal(onBase.sum, ofBase.paid);
assert.equal(onBase.rows.length, count('evm'), 'one transfer for each purchase');
assert.equal(ofBase.fee, 0);
assert.equal(onTempo.sum, ofTempo.paid);
assert.equal(onTempo.rows.length, count('tempo', 'sponsored'), 'one transfer for each purchase');
assert.equal(await tempo.has(buyer), BigInt(1_000_000_000 - onTempo.sum - onTempo.fees));
assert.equal(await base.has(buyer), BigInt(1_000_000_000 - onBase.sum));
for (const by of Object.keys(servers)) {
  const got = Number(await tempo.has(payTo[by]) + await base.has(payTo[by]));
  assert.equal(got, kinds.filter(([name]) => name === by).length * TIMES * CENT, by);
}
// Gas is posted at the most that was signed for, and a sponsored charge costs none.
assert.ok(onTempo.fees > 0 && onTempo.fees <= ofTempo.fee, `${onTempo.fees} of gas, ${ofTempo.fee} in the ledger`);
assert.equal(ofTempo.fee, count('tempo') * 41_000);
// The server writes x402 terms for the same price on the same answer, and prefers those that pay by its challenge.
const bare = await fetch(`${servers.mppx}/evm/bare`);
assert.ok(bare.headers.get('payment-required') && bare.headers.get('www-authenticate')?.startsWith('Payment '));
const rails = audit.rows.filter(({ purchase, path }) => purchase && path.includes('/evm/')).map(({ rail }) => rail);
assert.deepEqual([...new Set(rails)], ['mpp eip3009'], 'the Payment offer and not its x402 twin');

// A nonce that was guessed wrong: the other rule is tried once, one of the two is used, and the other stays held.
const guessed = await bursar.fetchPaid({ url: `${servers.mppx}/guessed/1` });
assert.equal(guessed.outcome, 'bought', guessed.said);
assert.equal((await base.paidBy(buyer)).sum, onBase.sum + CENT);
const both = booked(await purse.audit(), '/guessed/1');
assert.deepEqual([both.count, both.paid, both.held], [1, CENT, CENT]);
console.log(`mpp: a nonce of the other rule: ${guessed.said.split('\n')[0]}`);
console.log(`mpp: ${onTempo.sum} units on Tempo and ${onBase.sum} on Base Sepolia, in the ledger and on the chains; gas ${onTempo.fees}`);
// What became of a payment whose answer was lost the chain tells: it moved, or it never can any more.
for (const [paid, state, moved] of [['unanswered', 'undelivered', CENT], ['swallowed', 'failed', 0]]) {
  const before = (await tempo.paidBy(buyer)).sum;
  const seller = await spoiler(servers.mppx, paid);
  const told = await bursar.fetchPaid({ url: `${seller}/sponsored/${paid}` });
  const look = async () => booked(await purse.audit(), `/sponsored/${paid}`);
  const late = performance.now() + 120_000;
  let books = await look();
  while (books.states !== state) {
    assert.ok(performance.now() < late, `${paid}: ${books.states}: ${told.said}`);
    await bursar.call('fetch_paid', { result_id: told.purchase_id });
    await new Promise((done) => { setTimeout(done, 500); });
    books = await look();
  }
  assert.deepEqual([books.paid, books.held], [moved, 0], paid);
  assert.equal((await tempo.paidBy(buyer)).sum - before, moved, paid);
  console.log(`mpp: a payment that was ${paid} is ${state}: ${told.said.split('\n')[0]}`);
}
await bursar.end();
await purse.verify();
end();
process.exit(0);
