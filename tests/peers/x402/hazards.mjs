// What goes wrong between paying and getting. Every case is asked twice, equally, and the chain is asked how often the
// money moved. The same cases are put to @x402/fetch, so that it can be seen that a second payment would be noticed.
import { wrapFetchWithPayment } from '@x402/fetch';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { booked, makePurse } from './bursar.mjs';
import { buyer, moved } from './world.mjs';

const CENT = 10_000;
const DONE = ['bought', 'stored', 'token', 'free'];
const firstLine = (text) => text.split('\n')[0];

// `rows`: which hazards of the project's notes on x402 it stands for. `most`: how many transfers there may be.
// `twice`: a client without a memory pays twice here, which shows that the lab would notice.
const cases = (lab) => {
  const v2 = lab.servers['express-v2'];
  const list = [
    { name: 'answer never comes', at: `${lab.proxies['express-v2']}/item/stall-`, rows: '4', twice: true },
    { name: 'handler 500', at: `${v2}/broken/`, rows: '6', most: 0 },
    { name: 'handler 500 after an upfront charge', at: `${v2}/upfront-broken/`, rows: '6', twice: true },
    { name: 'upfront', at: `${v2}/upfront/`, rows: '6' },
    { name: 'resource of another name', at: `${v2}/mismatch/`, rows: '24 25' },
    { name: 're-cased accepted', at: `${v2}/recased/`, rows: '18', bought: true },
    { name: 'price raised after the quote', at: `${v2}/moving-price/`, rows: '11', most: 0 },
    { name: 'payee changed after the quote', at: `${v2}/moving-payee/`, rows: '11', most: 0 },
    { name: 'clock an hour behind', at: `${lab.proxies['express-v2']}/item/skew-`, rows: '15 16' },
    { name: 'redirect, same origin', at: `${v2}/redirect/same/`, rows: '22', to: '/item/same-' },
    { name: 'redirect, another origin', at: `${v2}/redirect/cross/`, rows: '22', most: 0, elsewhere: true },
    { name: 'redirect 307, another origin', at: `${v2}/redirect/cross/`, query: '?code=307', rows: '22', most: 0,
      elsewhere: true },
    { name: 'redirect of the paid request', at: `${v2}/redirect/paid/`, rows: '22', most: 0, elsewhere: true },
    { name: 'payment-identifier', at: `${v2}/ext/`, rows: '5 30', identifier: true },
    { name: 'payment-identifier, first answer lost', at: `${lab.proxies['express-v2']}/ext/once-`, rows: '3 5',
      identifier: true },
    { name: 'found too old', at: `${v2}/item/`, switches: { verify: 'refuse' }, only: 1, rows: '15 16' },
  ];
  const settle = (name, settle, rows, more = {}) => (server) =>
    ({ name, at: `${lab.servers[server]}/item/`, switches: { settle, times: 1 }, rows, ...more });
  const everywhere = [
    (server) => ({ name: 'answer lost', at: `${lab.proxies[server]}/item/drop-`, rows: '3 4', twice: true }),
    (server) => ({ name: '402 after paying', at: `${lab.proxies[server]}/item/again-`, rows: '1 28', twice: true }),
    settle('settle failure, not sent', 'fail_before', '1 28'),
    settle('settle failure, sent', 'fail_after', '1 2', { twice: true }),
    settle('settle failure, sent later', 'fail_then_late', '1 2', { twice: true, wait: 2500 }),
    settle('facilitator breaks, sent', 'error_after', '2 29', { twice: true }),
    settle('settlement pending', 'pending', '3', { twice: true, switches: { settle: 'pending' } }),
    settle('settle timeout, not sent', 'hang_before', '2 29'),
    settle('settle timeout, sent', 'hang_after', '2 29', { twice: true }),
  ];
  for (const server of Object.keys(lab.servers)) {
    for (const one of everywhere) {
      const made = one(server);
      list.push({ ...made, name: `${server}: ${made.name}` });
    }
  }
  return list.map((one, i) => ({ most: 1, i, ...one }));
};

// Asks twice and counts. `ask(url)` gives {outcome, said}.
async function put(lab, address, who, one, ask) {
  const id = `${who}${one.i}`;
  const url = `${one.at}${id}${one.query ?? ''}`;
  const before = (await lab.chain(address)).transfers.length;
  const seen = await lab.seen();
  const answers = [];
  await lab.misbehave(one.switches);
  try {
    answers.push(await ask(url));
    if (one.only === 1) await lab.misbehave();
    // What was delivered is over, and the same call again would be another purchase.
    if (!DONE.includes(answers[0].outcome)) answers.push(await ask(url));
  } finally {
    await lab.misbehave();
  }
  if (one.wait) await sleep(one.wait);
  const { transfers } = await lab.chain(address);
  const now = await lab.seen();
  return {
    paths: [new URL(url).pathname, ...(one.to ? [one.to + id] : [])], answers, ...moved(transfers.slice(before)),
    elsewhere: now.other.paid - seen.other.paid,
    identifiers: now['express-v2'].payment_ids - seen['express-v2'].payment_ids,
    outcomes: answers.map(({ outcome }) => outcome).join(', '),
  };
}

export async function hazardsOfSdk(lab, key) {
  const sdk = buyer(key);
  const pay = wrapFetchWithPayment(fetch, sdk.client);
  const ask = async (url) => {
    try {
      const response = await pay(url, { signal: AbortSignal.timeout(5000) });
      return { outcome: response.status === 200 ? 'bought' : String(response.status), said: await response.text() };
    } catch (error) {
      return { outcome: 'lost', said: String(error) };
    }
  };
  const found = {};
  for (const one of cases(lab)) {
    const { count, elsewhere, outcomes } = await put(lab, sdk.address, 'sdk', one, ask);
    found[one.name] = `${count}x (${outcomes})${elsewhere ? `, shown to the other origin ${elsewhere}x` : ''}`;
    if (one.twice) assert.equal(count, 2, `${one.name}: the lab does not show what it should`);
  }
  return found;
}

// Bursar's turn. Gives what was wrong, a line each. Every case has a purse of its own, because one that holds payments of
// unknown outcome for a host risks no more of them, and all of this is one host.
export async function hazards(lab, key, address, theirs) {
  const wrong = [];
  const purse = (name) => makePurse(lab.rpc, key, name);
  const check = (name, work) => {
    try {
      work();
    } catch (error) {
      wrong.push(`${name}: ${error.message}`);
    }
  };
  // No more is booked as paid than moved, and nothing moved that is neither booked nor held.
  const agree = ({ paid, held }, sum) => assert.ok(paid <= sum && sum <= paid + held, `moved ${sum}, booked ${paid}, held ${held}`);
  const line = (rows, name, outcomes, { count, sum }, { paid, held, states }, more = '') => console.log(
    `x402: hazard ${rows.padEnd(5)} ${name}: ${outcomes}; moved ${count}x ${sum}; booked ${paid}, held ${held}, ${states}${more}`);

  for (const one of cases(lab)) {
    const own = purse(`case${one.i}`);
    const bursar = await own.serve();
    const put1 = await put(lab, address, 'own', one, (url) => bursar.fetchPaid({ url }));
    const books = booked(await own.audit(), ...put1.paths);
    await bursar.end();
    await own.verify();
    line(one.rows, one.name, put1.outcomes, put1, books, `; @x402/fetch moved ${theirs[one.name]}`);
    for (const { said } of put1.answers) console.log(`x402:     says: ${firstLine(said)}`);
    check(one.name, () => {
      assert.ok(put1.count <= one.most, `the money moved ${put1.count} times`);
      assert.equal(put1.elsewhere, 0, 'a payment was shown to another origin');
      assert.equal(put1.by[lab.pay_to.moved], undefined, 'the wrong payee was paid');
      // A case that was never put shows nothing. What makes others pay twice must have made Bursar pay, once.
      if (!put1.paths[1] && !one.elsewhere) assert.equal(books.count, 1, `there are ${books.count} purchases`);
      if (one.twice) assert.equal(put1.count, 1, 'the money did not move');
      assert.ok(put1.sum <= CENT, `${put1.sum} moved for an offer of ${CENT}`);
      agree(books, put1.sum);
      if (put1.outcomes.endsWith('bought')) assert.equal(books.paid, put1.sum);
      if (one.bought) assert.equal(put1.outcomes, 'bought');
      if (one.identifier) assert.ok(put1.identifiers >= 1, 'no payment-identifier was sent');
    });
  }

  // Ten at once through a facilitator that does not queue for its own account, and the open ones once more.
  const before = (await lab.chain(address)).transfers.length;
  const urls = Array.from({ length: 10 }, (_, i) => `${lab.servers['express-v2']}/item/race${i}-own`);
  const all = (some) => Promise.all(some.map(async (url) => ({ url, ...await bursar.fetchPaid({ url }) })));
  let first;
  let second;
  const racer = purse('racing');
  const bursar = await racer.serve();
  await lab.misbehave({ racing: true });
  try {
    first = await all(urls);
    second = await all(first.filter(({ outcome }) => !DONE.includes(outcome)).map(({ url }) => url));
  } finally {
    await lab.misbehave();
  }
  const raced = moved((await lab.chain(address)).transfers.slice(before));
  const books = booked(await racer.audit(), ...urls.map((url) => new URL(url).pathname));
  await bursar.end();
  await racer.verify();
  const outcomes = [first, second].map((some) => some.map(({ outcome }) => outcome).join(' ') || 'none').join('; again: ');
  line('7', 'racing facilitator, 10 at once', outcomes, raced, books);
  check('racing', () => {
    assert.ok(raced.count <= 10, `10 purchases moved the money ${raced.count} times`);
    assert.ok(books.count >= 2 && books.count <= 10, `there are ${books.count} purchases`);
    agree(books, raced.sum);
    // What is not delivered by then waits for the chain's last word, as in the ledger of each case above.
    const delivered = [...first, ...second].filter(({ outcome }) => DONE.includes(outcome)).length;
    assert.equal(delivered, 10, `after the second time ${delivered} of 10 were delivered`);
    assert.equal(books.paid, raced.sum, `booked ${books.paid}, moved ${raced.sum}`);
    assert.equal(books.held, 0);
  });

  // The process is killed while the seller has the payment, and at each place of an x402 purchase that a debug build
  // knows (PEER_BURSAR_DEBUG). A new one is then asked for the same. Each of them is alone with the ledger for its
  // purchase.
  const debug = process.env.PEER_BURSAR_DEBUG;
  const points = debug ? ['before_w1', 'after_w1', 'before_pay', 'after_pay', 'after_w2', 'after_w3'] : [];
  if (!debug) console.log('SKIPPED peer x402 (kill points only): there is no debug build of bursar (PEER_BURSAR_DEBUG)');
  for (const [i, point] of [undefined, ...points].entries()) {
    const url = `${point ? lab.servers['express-v2'] : lab.proxies['express-v2']}/item/pause-killed${i}`;
    const since = (await lab.chain(address)).transfers.length;
    const own = purse(`killed${i}`);
    const doomed = await own.serve(point ? { BURSAR_KILL_POINT: point } : {}, point ? debug : undefined);
    const { pause } = await lab.spoiled();
    let answered = false;
    const asked = doomed.fetchPaid({ url }).catch(() => ({ outcome: 'killed' })).finally(() => { answered = true; });
    if (!point) {
      while (!answered && (await lab.spoiled()).pause === pause) await sleep(50);
      await doomed.kill();
    }
    const { outcome } = await asked;
    await doomed.kill();
    const name = `killed ${point ?? 'while the seller has the payment'}`;
    if (outcome !== 'killed') {
      wrong.push(`${name}: it did not die there but answered ${outcome}`);
      continue;
    }
    const heir = await own.serve();
    const answer = await heir.fetchPaid({ url });
    await heir.end();
    const spent = moved((await lab.chain(address)).transfers.slice(since));
    const ledger = booked(await own.audit(), new URL(url).pathname);
    await own.verify();
    line('1 4', name, answer.outcome, spent, ledger);
    console.log(`x402:     says: ${firstLine(answer.said)}`);
    check(name, () => {
      assert.ok(spent.count <= 1, `the money moved ${spent.count} times`);
      agree(ledger, spent.sum);
    });
  }
  return wrong;
}
