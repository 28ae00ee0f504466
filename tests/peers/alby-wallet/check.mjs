// Bursar buys with a wallet and over a relay that others wrote: Alby's NWC wallet service, on the relay nostr-relay.
// The wallet keeps a small ledger and checks every invoice with the package bolt11. Only the sandbox's node knows the
// preimages, so the wallet is a gateway: it pays through the sandbox's wallet, and checks the proof it gets. In the end
// Alby's client pays with a sandbox's wallet over that relay.
import { NWCClient, NWCWalletService, NWCWalletServiceKeyPair, Nip47WalletError } from '@getalby/sdk/nwc';
import bolt11 from 'bolt11';
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { albyPays } from './sandbox.mjs';

const home = process.env.PEER_HOME;
const sandboxWallet = readFileSync(process.env.PEER_NWC_FILE, 'utf8').trim();

// ------------------------------------------------------------------------------------------------------- the relay

const port = await new Promise((done) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => done(port));
  });
});
const config = `${home}/relay.yaml`;
writeFileSync(config, `DEBUG: false
relay_name: peer
storage:
  sqlalchemy.url: sqlite+aiosqlite:///${home}/relay.sqlite3
  num_concurrent_reqs: 10
  num_concurrent_adds: 2
  validators:
    - nostr_relay.validators.is_not_too_large
    - nostr_relay.validators.is_signed
    - nostr_relay.validators.is_recent
verification:
  nip05_verification: disabled
gunicorn:
  bind: 127.0.0.1:${port}
  loglevel: warning
authentication:
  enabled: false
`);
const log = openSync(`${home}/relay.log`, 'w');
const relay = spawn(process.env.PEER_RELAY, ['-c', config, 'serve', '--use-uvicorn'], {
  cwd: home, stdio: ['ignore', log, log],
});
relay.on('error', (error) => console.error(`alby-wallet: the relay does not start: ${error.message}`));
process.on('exit', () => relay.kill('SIGKILL'));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));
const deadline = Date.now() + 60_000;
for (;;) {
  const up = await new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => { socket.destroy(); done(true); });
    socket.on('error', () => done(false));
  });
  if (up) break;
  if (relay.exitCode !== null || Date.now() > deadline) {
    console.error(readFileSync(`${home}/relay.log`, 'utf8'));
    throw new Error('the relay does not listen');
  }
  await sleep(100);
}
const relayUrl = `ws://127.0.0.1:${port}`;

// ------------------------------------------------------------------------------------------------------ the wallet

const OPENING = 3_000_000;
const METHODS = ['get_info', 'get_balance', 'pay_invoice', 'lookup_invoice'];
const REGTEST = { bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };
const funds = { msat: OPENING, payments: new Map(), asked: [] };
const behind = new NWCClient({ nostrWalletConnectUrl: sandboxWallet });
const sha256 = (hex) => createHash('sha256').update(Buffer.from(hex, 'hex')).digest('hex');
const refuse = (code, message) => ({ result: undefined, error: { code, message } });
const now = () => Math.floor(Date.now() / 1000);

function shown(p) {
  const { hash, state, msat, fee, preimage, settled, invoice, created } = p;
  return {
    type: 'outgoing', state, invoice, payment_hash: hash, amount: msat, fees_paid: fee ?? 0, created_at: created,
    preimage: preimage ?? '', settled_at: settled, description: '', description_hash: '', expires_at: p.expires,
  };
}

const handler = {
  async getInfo() {
    funds.asked.push('get_info');
    return { error: undefined, result: {
      alias: 'gateway', color: '#000000', pubkey: keys.walletPubkey, network: 'regtest', block_height: 1,
      block_hash: '00'.repeat(32), methods: METHODS, notifications: [],
    } };
  },
  async getBalance() {
    funds.asked.push('get_balance');
    return { error: undefined, result: { balance: funds.msat } };
  },
  async lookupInvoice({ payment_hash, invoice }) {
    funds.asked.push('lookup_invoice');
    const hash = payment_hash ?? bolt11.decode(invoice, REGTEST).tagsObject.payment_hash;
    const payment = funds.payments.get(hash);
    return payment ? { error: undefined, result: shown(payment) } : refuse('NOT_FOUND', 'no such payment');
  },
  async payInvoice({ invoice }) {
    funds.asked.push('pay_invoice');
    let decoded;
    try {
      // This checks the checksum and recovers the payee's key from the signature.
      decoded = bolt11.decode(invoice, REGTEST);
    } catch (error) {
      return refuse('OTHER', `not an invoice: ${error.message}`);
    }
    const hash = decoded.tagsObject.payment_hash;
    const msat = Number(decoded.millisatoshis);
    if (!(msat > 0) || !decoded.complete) return refuse('OTHER', 'an invoice without an amount or a signature');
    if (decoded.timeExpireDate < now()) return refuse('PAYMENT_FAILED', 'the invoice is over');
    if (funds.payments.has(hash)) return refuse('PAYMENT_FAILED', 'the invoice has been paid before');
    if (funds.msat < msat) return refuse('INSUFFICIENT_BALANCE', 'not enough');
    funds.msat -= msat;
    const payment = {
      hash, msat, invoice, state: 'pending', created: decoded.timestamp, expires: decoded.timeExpireDate,
    };
    funds.payments.set(hash, payment);
    try {
      const { preimage, fees_paid } = await behind.payInvoice({ invoice });
      assert.equal(sha256(preimage), hash, 'the proof fits the invoice');
      Object.assign(payment, { state: 'settled', preimage, fee: fees_paid ?? 0, settled: now() });
      funds.msat -= payment.fee;
      return { error: undefined, result: { preimage, fees_paid: payment.fee } };
    } catch (error) {
      // Only a wallet's own no frees the money; anything else stays pending.
      if (!(error instanceof Nip47WalletError)) throw error;
      payment.state = 'failed';
      funds.msat += msat;
      return refuse('PAYMENT_FAILED', error.message);
    }
  },
};

const pubkeyOf = (secret) => new NWCWalletServiceKeyPair(secret, 'nobody').walletPubkey;
const walletSecret = randomBytes(32).toString('hex');
const clientSecret = randomBytes(32).toString('hex');
const keys = new NWCWalletServiceKeyPair(walletSecret, pubkeyOf(clientSecret));
const service = new NWCWalletService({ relayUrls: [relayUrl] });
await service.publishWalletServiceInfoEvent(walletSecret, METHODS, []);
await service.subscribe(keys, handler);
const query = new URLSearchParams({ relay: relayUrl, secret: clientSecret });
const connection = `nostr+walletconnect://${keys.walletPubkey}?${query}`;

// ------------------------------------------------------------------------------------------------ what Bursar does

// A purse of its own: the one that every peer finds holds the sandbox's wallet.
const env = {
  PATH: process.env.PATH, BURSAR_HOME: `${home}/purse`, BURSAR_ALLOW_LOOPBACK: '1', BURSAR_NWC: connection,
};
const bursar = (...args) => new Promise((done) => {
  execFile(process.env.PEER_BURSAR, args, { env, timeout: 60_000 }, (error, stdout, stderr) => {
    done({ code: error ? (error.code ?? 'killed') : 0, stdout, stderr });
  });
});
const json = async (...args) => {
  const { code, stdout, stderr } = await bursar(...args);
  assert.equal(code, 0, `bursar ${args.join(' ')}: ${stdout}\n${stderr}`);
  assert.ok(!(stdout + stderr).includes(clientSecret), 'a secret was printed');
  return JSON.parse(stdout);
};

const behindBefore = (await behind.getBalance()).balance;
const tested = await json('wallet', 'test', '--json');
assert.equal(tested.outcome, 'ready', JSON.stringify(tested));
const [wallet] = tested.wallets;
assert.deepEqual([wallet.encryption, wallet.network, wallet.balance], ['nip44_v2', 'regtest', '3000 sat']);
assert.deepEqual(wallet.missing, []);
assert.equal(funds.payments.size, 0, 'a test pays nothing');
assert.ok(funds.asked.includes('get_info'), 'a test asks the wallet');

const url = `${process.env.PEER_SELLER}/v1/rates`;
const bought = await json('fetch', '--json', url);
assert.equal(bought.outcome, 'bought', JSON.stringify(bought));
assert.equal(bought.paid_now, '21 sat');
assert.match(bought.result.text_unverified, /rates/);
const [payment] = funds.payments.values();
assert.equal(payment.state, 'settled');
assert.equal(funds.msat, OPENING - 21_000 - payment.fee, 'the ledger of the wallet moved by the price');
assert.equal((await behind.getBalance()).balance, behindBefore - 21_000 - payment.fee, 'and so did the money');

const again = await json('fetch', '--json', url);
assert.equal(again.outcome, 'token', JSON.stringify(again));
assert.equal(funds.payments.size, 1, 'a token is used again, not bought again');

const audit = await json('audit', '--json');
assert.deepEqual(audit.rows.map((row) => row.state), ['delivered', 'token']);
assert.equal(audit.totals.purchases, 1);
assert.deepEqual(audit.totals.money.map((m) => [m.paid, m.held]), [['21 sat', '0 sat']]);
const balance = await json('balance', '--json');
assert.equal(balance.wallets[0].balance, `${funds.msat / 1000} sat`);

// What the wallet has paid it does not pay twice, and it says so as live wallets do.
// (The client also complains to standard error about every no.)
const complain = console.error;
console.error = () => {};
const other = new NWCClient({ nostrWalletConnectUrl: connection });
await assert.rejects(other.payInvoice({ invoice: payment.invoice }), /paid before/);
const spoilt = payment.invoice.replace(/.$/, (last) => (last === 'q' ? 'p' : 'q'));
await assert.rejects(other.payInvoice({ invoice: spoilt }), /not an invoice/);
console.error = complain;
const found = await other.lookupInvoice({ payment_hash: payment.hash });
assert.equal(found.preimage, payment.preimage);
console.log(`alby-wallet: bought for ${payment.msat} msat with a gateway wallet over nostr-relay, and used the token`);

// The other way round over the same relay.
const moved = await albyPays(relayUrl, `${home}/world`);
console.log(`alby-wallet: Alby's client paid ${moved} msat with the sandbox's wallet over nostr-relay`);
process.exit(0);
