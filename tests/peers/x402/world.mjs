// What the checks share: the lab as a child, what its control URL says, and buyers on @x402/core and @x402/evm.
import { x402Client, x402HTTPClient } from '@x402/core/client';
import { ExactEvmScheme } from '@x402/evm/exact/client';
import { ExactEvmSchemeV1 } from '@x402/evm/exact/v1/client';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { privateKeyToAccount } from 'viem/accounts';

export async function startLab(keys) {
  const buyers = keys.map((key) => privateKeyToAccount(`0x${key}`).address).join(',');
  const child = spawn(process.execPath, [fileURLToPath(new URL('lab.mjs', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, LAB_BUYERS: buyers },
  });
  // It ends when its input closes, so it ends with this process, however that ends.
  child.stdin.on('error', () => {});
  const gone = once(child, 'exit').then(([status]) => { throw new Error(`the lab ended with ${status}`); });
  gone.catch(() => {});
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), gone]);
  const lab = JSON.parse(line);
  const json = async (path, init) => {
    const response = await fetch(lab.control + path, init);
    const body = await response.json();
    assert.equal(response.status, 200, `${path}: ${JSON.stringify(body)}`);
    return body;
  };
  return {
    ...lab,
    chain: (from) => json(`/chain${from ? `?from=${from}` : ''}`),
    used: (from, nonce) => json(`/used?from=${from}&nonce=${nonce}`).then(({ used }) => used),
    misbehave: (switches = {}) => json('/facilitator', { method: 'POST', body: JSON.stringify(switches) }),
    switches: () => json('/facilitator'),
    seen: () => json('/seen'),
    spoiled: () => json('/spoiled'),
    async end() {
      child.stdin.end();
      await gone.catch(() => {});
    },
  };
}

// What one buyer moved since an earlier look, payee by payee and in all.
export const moved = (transfers) => {
  const by = {};
  for (const { to, value } of transfers) by[to] = (by[to] ?? 0) + Number(value);
  return { count: transfers.length, sum: transfers.reduce((sum, { value }) => sum + Number(value), 0), by };
};

export function buyer(key) {
  const account = privateKeyToAccount(`0x${key}`);
  const client = new x402Client()
    .register('eip155:84532', new ExactEvmScheme(account))
    .registerV1('base-sepolia', new ExactEvmSchemeV1(account));
  const speech = new x402HTTPClient(client);
  return {
    address: account.address, client,
    // Asks for the price and signs, but does not send: the headers of one payment, to be sent once or twice.
    async sign(url, init) {
      const response = await fetch(url, init);
      assert.equal(response.status, 402, url);
      const text = await response.text();
      const required = speech.getPaymentRequiredResponse((name) => response.headers.get(name), JSON.parse(text));
      return this.signFor(required);
    },
    async signFor(required) {
      const payload = await client.createPaymentPayload(required);
      const headers = speech.encodePaymentSignatureHeader(payload);
      return { headers, required, payload, nonce: payload.payload.authorization.nonce };
    },
    receipt: (response) => {
      const header = response.headers.get('payment-response') ?? response.headers.get('x-payment-response');
      return header ? JSON.parse(Buffer.from(header, 'base64')) : undefined;
    },
  };
}
