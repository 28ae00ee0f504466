// Alby's client uses the sandbox's wallet over a relay that neither side wrote: everything between them goes through it.
import { NWCClient } from '@getalby/sdk/nwc';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

// A sandbox whose wallet connects to this relay, on any four free ports in a row.
async function start(relayUrl, home) {
  for (let tries = 0; tries < 8; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 20_000);
    const args = ['sandbox', '--port', port, '--home', home, '--relay', relayUrl, '--json'];
    const sandbox = spawn(process.env.PEER_BURSAR, args, {
      env: { PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'inherit'],
    });
    process.on('exit', () => sandbox.kill('SIGKILL'));
    let said = '';
    for await (const text of sandbox.stdout.setEncoding('utf8')) {
      said += text;
      if (said.endsWith('}\n')) return { sandbox, ...JSON.parse(said) };
    }
  }
  throw new Error('the sandbox does not start');
}

export async function albyPays(relayUrl, home) {
  const { sandbox, relay, aperture, nwc_file } = await start(relayUrl, home);
  assert.equal(relay, relayUrl);
  const connection = readFileSync(nwc_file, 'utf8').trim();
  assert.deepEqual(new URL(connection).searchParams.getAll('relay'), [relayUrl]);
  const client = new NWCClient({ nostrWalletConnectUrl: connection });
  assert.equal((await client.getInfo()).network, 'regtest');
  const before = (await client.getBalance()).balance;
  const challenge = (await fetch(`${aperture}/v1/rates`)).headers.get('www-authenticate');
  const [, token, invoice] = /L402 macaroon="([^"]+)", invoice="([^"]+)"/.exec(challenge);
  const { preimage } = await client.payInvoice({ invoice });
  const found = await client.lookupInvoice({ invoice });
  assert.equal(found.payment_hash, createHash('sha256').update(Buffer.from(preimage, 'hex')).digest('hex'));
  const moved = before - (await client.getBalance()).balance;
  assert.equal(moved, 21_000 + (found.fees_paid ?? 0));
  const opened = await fetch(`${aperture}/v1/rates`, { headers: { authorization: `L402 ${token}:${preimage}` } });
  assert.equal(opened.status, 200);
  client.close();
  const ended = new Promise((done) => sandbox.on('exit', done));
  sandbox.kill('SIGTERM');
  await ended;
  return moved;
}
