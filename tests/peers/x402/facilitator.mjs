// A facilitator: an HTTP shell over @x402/core and @x402/evm that can be told to misbehave.
//
//   GET  /supported   POST /verify   POST /settle      the protocol's own
//   GET  /control                                      the switches, and how often each way was taken
//   POST /control     {settle, times, late_ms, racing, verify} sets them; `settle` is one of:
//     ok             does as it is told
//     hang_before    never answers, and sends nothing
//     hang_after     sends the transaction, and never answers
//     fail_before    says that it failed, and sends nothing
//     fail_after     sends the transaction, and says that it failed
//     fail_then_late says that it failed, and sends the transaction `late_ms` (1500) later
//     error_after    sends the transaction, and answers 500 without a word
//     pending        sends the transaction, and says `settlement_pending` with its hash, however often it is asked
//   for the next `times` settlements (null: until told otherwise), then `ok`. `verify: "refuse"` finds every
//   authorization too old, as a facilitator does whose clock is ahead. `racing` takes the lock from the
//   facilitator's own account, so that settlements at the same time use the same nonce of it.
import { x402Facilitator } from '@x402/core/facilitator';
import { toFacilitatorEvmSigner } from '@x402/evm';
import { ExactEvmScheme } from '@x402/evm/exact/facilitator';
import { ExactEvmSchemeV1 } from '@x402/evm/exact/v1/facilitator';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createWalletClient, http, publicActions } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { baseSepolia } from 'viem/chains';
import { listening } from './child.mjs';

const WAYS = ['ok', 'hang_before', 'hang_after', 'fail_before', 'fail_after', 'fail_then_late', 'error_after', 'pending'];
// The second of the accounts that anvil always has. The first one sets up the chain.
const account = privateKeyToAccount('0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d');
const client = createWalletClient({
  account, chain: baseSepolia, transport: http(process.env.LAB_RPC), pollingInterval: 20, cacheTime: 0,
}).extend(publicActions);

const start = { settle: 'ok', times: null, late_ms: 1500, racing: false, verify: 'ok' };
let state = { ...start };
const counts = {};
const pending = new Map();

let last = Promise.resolve();
const inTurn = (work) => {
  if (state.racing) return work();
  const mine = last.then(work, work);
  last = mine.catch(() => {});
  return mine;
};
const signer = toFacilitatorEvmSigner({
  address: account.address,
  getCode: (args) => client.getCode(args),
  readContract: (args) => client.readContract(args),
  verifyTypedData: (args) => client.verifyTypedData(args),
  writeContract: (args) => inTurn(() => client.writeContract(args)),
  sendTransaction: (args) => inTurn(() => client.sendTransaction(args)),
  waitForTransactionReceipt: (args) => client.waitForTransactionReceipt(args),
});
const facilitator = new x402Facilitator()
  .register('eip155:84532', new ExactEvmScheme(signer))
  .registerV1('base-sepolia', new ExactEvmSchemeV1(signer));

async function verify(payload, requirements) {
  if (state.verify === 'ok') return facilitator.verify(payload, requirements);
  const { from } = payload.payload.authorization;
  return { isValid: false, invalidReason: 'invalid_exact_evm_payload_authorization_valid_before', payer: from };
}

async function settle(payload, requirements) {
  const way = state.settle;
  if (state.times !== null && --state.times <= 0) Object.assign(state, { settle: 'ok', times: null });
  counts[way] = (counts[way] ?? 0) + 1;
  const send = () => facilitator.settle(payload, requirements);
  const { network } = requirements;
  const failed = (errorReason, transaction = '') => ({ success: false, errorReason, transaction, network });
  switch (way) {
    case 'ok': return send();
    case 'hang_before': return null;
    case 'hang_after': await send(); return null;
    case 'fail_before': return failed('insufficient_funds');
    case 'fail_after': await send(); return failed('unexpected_settle_error');
    case 'fail_then_late':
      sleep(state.late_ms).then(send).catch((error) => console.error(error));
      return failed('unexpected_settle_error');
    case 'error_after': await send(); return undefined;
    case 'pending': {
      const { nonce } = payload.payload.authorization;
      if (!pending.has(nonce)) pending.set(nonce, (await send()).transaction);
      return failed('settlement_pending', pending.get(nonce));
    }
  }
}

const server = createServer(async (request, response) => {
  const answer = (status, body) => {
    const text = JSON.stringify(body, (_, value) => (typeof value === 'bigint' ? value.toString() : value));
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  };
  try {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length ? JSON.parse(Buffer.concat(chunks)) : undefined;
    switch (`${request.method} ${request.url}`) {
      case 'GET /supported': return answer(200, facilitator.getSupported());
      case 'POST /verify': return answer(200, await verify(body.paymentPayload, body.paymentRequirements));
      case 'POST /settle': {
        const result = await settle(body.paymentPayload, body.paymentRequirements);
        if (result === undefined) return answer(500, { error: 'internal' });
        // The connection stays open: whoever waits for it waits for ever.
        return result === null ? undefined : answer(200, result);
      }
      case 'POST /control': {
        const wanted = { ...start, ...body };
        if (!WAYS.includes(wanted.settle)) return answer(400, { error: `settle is one of ${WAYS.join(', ')}` });
        state = wanted;
        return answer(200, { ...state, counts });
      }
      case 'GET /control': return answer(200, { ...state, counts });
      default: return answer(404, {});
    }
  } catch (error) {
    console.error(error);
    answer(500, { error: String(error?.message ?? error) });
  }
});
listening(server);
