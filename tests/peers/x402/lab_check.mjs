// The lab is what it says it is: @x402/fetch pays every seller, the token moves, and every switch that makes something
// go wrong makes just that go wrong. What Bursar is asked later rests on this.
import { wrapFetchWithPayment } from '@x402/fetch';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { buyer, moved } from './world.mjs';

export async function checkLab(lab, key) {
  const sdk = buyer(key);
  const pay = wrapFetchWithPayment(fetch, sdk.client);
  const mine = async () => (await lab.chain(sdk.address)).transfers;
  // What the chain saw while something was done.
  const during = async (work) => {
    const before = (await mine()).length;
    const result = await work();
    return { result, ...moved((await mine()).slice(before)) };
  };

  for (const [name, url] of Object.entries(lab.servers)) {
    const { result, by, count } = await during(async () => {
      const weather = await pay(`${url}/weather`);
      assert.equal(weather.status, 200, `${name}: ${await weather.clone().text()}`);
      assert.deepEqual(await weather.json(), { weather: 'sunny', by: name });
      for (const n of [1, 2]) {
        const item = await pay(`${url}/item/${n}`);
        assert.deepEqual(await item.json(), { item: `${n}`, by: name });
      }
      const echo = await pay(`${url}/echo`, {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":[1]}',
      });
      assert.deepEqual(await echo.json(), { echo: { a: [1] }, by: name });
      return sdk.receipt(weather);
    });
    assert.equal(result.success, true);
    assert.equal(count, 4, name);
    assert.deepEqual(by, { [lab.pay_to[name]]: 22_000 }, name);
    // The SDK's own cap of a dollar holds; a 402 of five dollars is really there.
    const dear = await fetch(`${url}/dear`);
    assert.equal(dear.status, 402);
    await dear.text();
    await assert.rejects(pay(`${url}/dear`));
  }
  const { balances, transfers } = await lab.chain();
  for (const [name, address] of Object.entries(lab.pay_to)) {
    const { by } = moved(transfers);
    assert.equal(Number(balances[address]), by[address] ?? 0, name);
  }
  assert.equal(Number(balances[sdk.address]), 1_000_000_000 - moved(await mine()).sum);
  assert.equal(new Set(transfers.map(({ nonce }) => nonce)).size, transfers.length);
  console.log(`x402: @x402/fetch pays ${Object.keys(lab.servers).join(', ')}; the chain agrees`);

  // ------------------------------------------------------------------------------------------------ what can go wrong

  let next = 0;
  const send = (url, { headers }, seconds = 20) =>
    fetch(url, { headers, redirect: 'manual', signal: AbortSignal.timeout(seconds * 1000) });
  const once = async (kind, want, origin = lab.servers['express-v2']) => {
    const url = `${origin}/${kind}${kind.endsWith('-') ? '' : '/'}check-${next++}`;
    const signed = await sdk.sign(url);
    const { result, count } = await during(async () => {
      try {
        const response = await send(url, signed, kind.startsWith('item/') ? 2 : 8);
        await response.text();
        return response;
      } catch (error) {
        return { lost: error };
      }
    });
    assert.equal(result.lost ? 'lost' : result.status, want.status, `${kind}: ${result.lost ?? ''}`);
    assert.equal(count, want.count, kind);
    assert.equal(await lab.used(sdk.address, signed.nonce), want.count === 1, kind);
    return { response: result, url, signed };
  };

  // A seller on @x402/express asks once more where a settlement is pending. Told `pending` only once, it makes a failure
  // of it, because the second transaction is reverted.
  for (const [settle, want, times = 1] of [
    ['fail_before', { status: 402, count: 0 }], ['fail_after', { status: 402, count: 1 }],
    ['error_after', { status: 402, count: 1 }], ['pending', { status: 402, count: 1 }],
    ['pending', { status: 402, count: 1 }, null],
    ['hang_before', { status: 502, count: 0 }], ['hang_after', { status: 502, count: 1 }],
    ['fail_then_late', { status: 402, count: 0 }],
  ]) {
    await lab.misbehave({ settle, times });
    const { response, signed } = await once('item', want);
    const receipt = sdk.receipt(response);
    const said = receipt ? `${receipt.errorReason} "${receipt.transaction.slice(0, 10)}"` : 'no receipt';
    console.log(`x402: facilitator ${settle}: ${response.status}, ${want.count} transfers, ${said}`);
    assert.equal((await lab.switches()).settle, times ? 'ok' : settle);
    await lab.misbehave();
    if (settle === 'fail_then_late') {
      await sleep(2500);
      assert.equal(await lab.used(sdk.address, signed.nonce), true, 'the late transfer never came');
    }
  }

  await lab.misbehave({ verify: 'refuse' });
  await once('item', { status: 402, count: 0 });
  await lab.misbehave();

  // The answer is lost after the money moved, and the same bytes are then refused with a fresh challenge.
  for (const [name, origin] of Object.entries(lab.proxies)) {
    const dropped = await once('item/drop-', { status: 'lost', count: 1 }, origin);
    const again = await during(async () => {
      const response = await send(dropped.url, dropped.signed);
      assert.equal(response.status, 402, name);
      await response.text();
    });
    assert.equal(again.count, 0, name);
    await once('item/again-', { status: 402, count: 1 }, origin);
  }
  const { 'express-v2': proxy } = lab.proxies;
  await once('item/stall-', { status: 'lost', count: 1 }, proxy);
  await once('item/pause-', { status: 'lost', count: 1 }, proxy);
  const skewed = await once('item/skew-', { status: 200, count: 1 }, proxy);
  assert.ok(Date.now() - Date.parse(skewed.response.headers.get('date')) > 3_000_000);
  assert.deepEqual(await lab.spoiled(), { drop: 4, once: 0, again: 4, stall: 1, pause: 1, skew: 2 });

  await once('broken', { status: 500, count: 0 });
  await once('upfront', { status: 200, count: 1 });
  await once('upfront-broken', { status: 500, count: 1 });
  await once('mismatch', { status: 200, count: 1 });
  await once('moving-price', { status: 402, count: 0 });
  await once('moving-payee', { status: 402, count: 0 });

  // The seller on the other side of a redirect counts what it is shown.
  const shown = (await lab.seen()).other.paid;
  await once('redirect/paid', { status: 302, count: 0 });
  for (const [path, status] of [['/redirect/same/1', 302], ['/redirect/cross/1?code=307', 307]]) {
    const response = await fetch(lab.servers['express-v2'] + path, { redirect: 'manual' });
    assert.equal(response.status, status);
    await response.text();
  }
  assert.equal((await lab.seen()).other.paid, shown);
  await fetch(`${lab.other}/item/shown`, { headers: { 'payment-signature': 'e30=' } }).then((it) => it.text());
  assert.equal((await lab.seen()).other.paid, shown + 1);

  // payment-identifier: the same bytes get the same answer, other bytes with the same id a conflict.
  const url = `${lab.servers['express-v2']}/ext/1`;
  const { required } = await sdk.sign(url);
  assert.deepEqual(Object.keys(required.extensions).toSorted(), ['bazaar', 'payment-identifier']);
  required.extensions['payment-identifier'].info.id = 'p_0123456789abcdef';
  const [first, second] = [await sdk.signFor(required), await sdk.signFor(required)];
  const { count } = await during(async () => {
    for (const [signed, status] of [[first, 200], [first, 200], [second, 409]]) {
      const response = await send(url, signed);
      assert.equal(response.status, status, await response.text());
    }
  });
  assert.equal(count, 1);

  // Ten at once through a facilitator that does not queue for its own account: some fail, none twice.
  await lab.misbehave({ racing: true });
  const racers = [];
  for (let i = 0; i < 10; i++) {
    const target = `${lab.servers['express-v2']}/item/race-${i}`;
    racers.push({ target, signed: await sdk.sign(target) });
  }
  const race = await during(() => Promise.all(racers.map(async ({ target, signed }) => {
    const response = await send(target, signed);
    await response.text();
    return response.status;
  })));
  await lab.misbehave();
  const delivered = race.result.filter((status) => status === 200).length;
  assert.ok(race.count >= delivered && race.count <= 10);
  assert.ok(delivered < 10, 'the race has no losers, so it shows nothing');
  const rest = await during(async () => {
    for (const { target, signed } of racers) await (await send(target, signed)).text();
  });
  assert.equal(race.count + rest.count, 10);
  console.log(`x402: racing: ${delivered} of 10 at the first try, 10 transfers when all were sent again`);
  console.log('x402: the lab does what its switches say');
}
