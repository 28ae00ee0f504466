// Alby's NWC client talks with the sandbox's wallet over the sandbox's relay: what Bursar is tested against is a wallet
// that others can use too.
import { NWCClient } from '@getalby/sdk/nwc';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const client = new NWCClient({ nostrWalletConnectUrl: readFileSync(process.env.PEER_NWC_FILE, 'utf8').trim() });
const info = await client.getInfo();
assert.ok(info.methods.includes('pay_invoice') && info.methods.includes('lookup_invoice'), JSON.stringify(info));
const before = (await client.getBalance()).balance;
assert.ok(before > 0);

const url = `${process.env.PEER_SELLER}/v1/rates`;
const challenge = (await fetch(url)).headers.get('www-authenticate');
const [, token, invoice] = /L402 macaroon="([^"]+)", invoice="([^"]+)"/.exec(challenge);
const { preimage } = await client.payInvoice({ invoice });
const found = await client.lookupInvoice({ invoice });
const hash = createHash('sha256').update(Buffer.from(preimage, 'hex')).digest('hex');
assert.equal(found.payment_hash, hash);
assert.equal(found.preimage, preimage);
assert.ok(found.settled_at > 0);
const fee = found.fees_paid ?? 0;
assert.equal((await client.getBalance()).balance, before - 21_000 - fee);
const opened = await fetch(url, { headers: { authorization: `L402 ${token}:${preimage}` } });
assert.equal(opened.status, 200);
await assert.rejects(client.payInvoice({ invoice }), 'an invoice is paid once');
console.log(`alby-nwc: paid ${found.amount} msat and looked it up`);
client.close();
process.exit(0);
