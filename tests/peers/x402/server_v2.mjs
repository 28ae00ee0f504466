// A seller on @x402/express (x402 version 2), with honest routes and with those that go wrong.
import { HTTPFacilitatorClient } from '@x402/core/server';
import { ExactEvmScheme } from '@x402/evm/exact/server';
import { paymentMiddleware, x402ResourceServer } from '@x402/express';
import { declareDiscoveryExtension } from '@x402/extensions/bazaar';
import {
  PAYMENT_IDENTIFIER, declarePaymentIdentifierExtension, extractPaymentIdentifier,
} from '@x402/extensions/payment-identifier';
import express from 'express';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { listening } from './child.mjs';

const { LAB_FACILITATOR, LAB_NAME, LAB_PAY_TO, LAB_OTHER_PAYEE, LAB_OTHER_ORIGIN, LAB_TIMEOUT_MS } = process.env;
const app = express();
app.set('x-powered-by', false);
app.use(express.json());

// --------------------------------------------------------------------------------------------------- what it is asked

const asked = { requests: 0, paid: 0, payment_ids: 0, by_path: {} };
const paidHeader = (request) => request.get('payment-signature') ?? request.get('x-payment');
app.get('/seen', (_, response) => response.json(asked));
app.use((request, response, next) => {
  asked.requests++;
  if (paidHeader(request)) asked.paid++;
  const row = asked.by_path[request.path] ??= { requests: 0, paid: 0, statuses: [], headers: [] };
  row.requests++;
  if (paidHeader(request)) {
    row.paid++;
    const hash = createHash('sha256').update(paidHeader(request)).digest('hex').slice(0, 16);
    if (!row.headers.includes(hash)) row.headers.push(hash);
  }
  response.on('finish', () => row.statuses.push(response.statusCode));
  next();
});

// --------------------------------------------------------------------------------------- redirects, before any payment

const code = (request) => Number(request.query.code ?? 302);
app.all('/redirect/same/:n', (request, response) => response.redirect(code(request), `/item/same-${request.params.n}`));
app.all('/redirect/cross/:n', (request, response) =>
  response.redirect(code(request), `${LAB_OTHER_ORIGIN}/item/cross-${request.params.n}`));
// It quotes here, and sends the payment elsewhere.
app.all('/redirect/paid/:n', (request, response, next) => (paidHeader(request)
  ? response.redirect(code(request), `${LAB_OTHER_ORIGIN}/item/paid-${request.params.n}`) : next()));

// ---------------------------------------------------------------- payment-identifier: the same answer for the same bytes

const answered = new Map();
app.use('/ext', (request, response, next) => {
  let payload;
  try {
    payload = JSON.parse(Buffer.from(paidHeader(request) ?? '', 'base64'));
  } catch {
    return next();
  }
  const id = extractPaymentIdentifier(payload);
  if (!id) return next();
  asked.payment_ids++;
  const bytes = createHash('sha256').update(paidHeader(request)).digest('hex');
  const before = answered.get(id);
  if (before && before.bytes !== bytes) return response.status(409).json({ error: 'another payment with this id' });
  if (before) return response.set(before.headers).json(before.body);
  const json = response.json.bind(response);
  let body;
  response.json = (value) => { body = value; return json(value); };
  response.on('finish', () => {
    if (response.statusCode !== 200) return;
    answered.set(id, { bytes, body, headers: { 'PAYMENT-RESPONSE': response.get('PAYMENT-RESPONSE') } });
  });
  next();
});

// ------------------------------------------------------------------------------------------------------- what is sold

const offer = (price, more = {}) => ({
  accepts: { scheme: 'exact', network: 'eip155:84532', price, payTo: LAB_PAY_TO, maxTimeoutSeconds: 300, ...more },
  description: 'something of the lab', mimeType: 'application/json',
});
const paying = (context) => Boolean(context.paymentHeader);
const routes = {
  'GET /weather': offer('$0.01'),
  'POST /echo': offer('$0.01'),
  'GET /dear': offer('$5'),
  'GET /item/:n': offer('$0.001'),
  'GET /broken/:n': offer('$0.01'),
  'GET /redirect/paid/:n': offer('$0.01'),
  'GET /moving-price/:n': offer((context) => (paying(context) ? '$0.02' : '$0.01')),
  'GET /moving-payee/:n': offer('$0.01', { payTo: (context) => (paying(context) ? LAB_OTHER_PAYEE : LAB_PAY_TO) }),
  // Odd case and a key that nobody knows: this middleware compares what comes back with what it sent.
  'GET /recased/:n': offer('$0.01', { payTo: LAB_PAY_TO.toLowerCase(), extra: { Note: 'MiXeD' } }),
  'GET /mismatch/:n': { ...offer('$0.01'), resource: 'https://elsewhere.example/another/thing' },
  'GET /upfront/:n': offer('$0.01', { extra: { paymentFlow: 'upfront' } }),
  'GET /upfront-broken/:n': offer('$0.01', { extra: { paymentFlow: 'upfront' } }),
  'GET /ext/:n': {
    ...offer('$0.01'),
    extensions: {
      [PAYMENT_IDENTIFIER]: declarePaymentIdentifierExtension(),
      ...declareDiscoveryExtension({
        input: { units: 'metric' },
        inputSchema: { type: 'object', properties: { units: { type: 'string', enum: ['metric', 'imperial'] } } },
        output: { example: { item: '1', by: 'a seller' } },
      }),
    },
  },
};
const facilitator = new HTTPFacilitatorClient({ url: LAB_FACILITATOR, timeoutMs: Number(LAB_TIMEOUT_MS) });
const seller = new x402ResourceServer(facilitator).register('eip155:84532', new ExactEvmScheme());
app.use(paymentMiddleware(routes, seller));

app.get('/weather', (_, response) => response.json({ weather: 'sunny', by: LAB_NAME }));
app.post('/echo', (request, response) => response.json({ echo: request.body, by: LAB_NAME }));
app.get('/dear', (_, response) => response.json({ item: 'dear', by: LAB_NAME }));
app.get(['/broken/:n', '/upfront-broken/:n'], (_, response) => response.status(500).json({ error: 'out of order' }));
app.get('/:kind/:n', (request, response) => response.json({ item: request.params.n, by: LAB_NAME }));
listening(createServer(app));
