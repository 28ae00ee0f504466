// A seller on mppx: on Tempo, where the payer or the seller pays the gas, and on an EVM chain with the x402 twin.
import { Mppx, evm, tempo } from 'mppx/server';
import { assets } from 'mppx/evm';
import { createServer } from 'node:http';
import { createClient, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { tempoModerato } from 'viem/chains';
import { listening } from './child.mjs';

const { LAB_TEMPO, LAB_SETTLE, LAB_PAY_TO, LAB_SPONSOR } = process.env;
const client = createClient({ chain: tempoModerato, transport: http(LAB_TEMPO), pollingInterval: 100 });
const seller = Mppx.create({
  methods: [
    tempo.charge({
      currency: '0x20c0000000000000000000000000000000000000', recipient: LAB_PAY_TO, testnet: true, getClient: () => client,
    }),
    evm.charge({
      currency: assets.baseSepolia.USDC, recipient: LAB_PAY_TO,
      async settle({ payload }) {
        const answer = await fetch(LAB_SETTLE, { method: 'POST', body: JSON.stringify(payload) });
        if (!answer.ok) throw new Error(await answer.text());
        return { reference: (await answer.json()).transaction };
      },
    }),
  ],
  secretKey: 'a secret of the lab that is long enough for it', realm: '127.0.0.1',
});
const sponsor = privateKeyToAccount(LAB_SPONSOR);
const routes = {
  tempo: seller.tempo.charge({ amount: '0.01' }),
  sponsored: seller.tempo.charge({ amount: '0.01', feePayer: sponsor }),
  proof: seller.tempo.charge({ amount: '0' }),
  evm: seller.evm.charge({ amount: '0.01' }),
  // An end with six digits of a second looks like pympp's, whose rule for the nonce is the other one.
  guessed: (request) => seller.evm.charge({
    amount: '0.01', expires: new Date(Date.now() + 60_000).toISOString().replace('Z', '000Z'),
  })(request),
};
listening(createServer(async (request, response) => {
  const [, kind, item] = request.url.split('/');
  if (!routes[kind]) return response.writeHead(404).end();
  try {
    const said = await Mppx.toNodeListener(routes[kind])(request, response);
    if (said.status !== 402) response.setHeader('content-type', 'application/json').end(JSON.stringify({ item, by: 'mppx' }));
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
}));
