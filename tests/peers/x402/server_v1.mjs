// A seller on x402-express (x402 version 1). It asks for wagmi and @coinbase/cdp-sdk but imports neither, so package.json
// puts a small package in their place: 168 packages instead of 542.
import express from 'express';
import { paymentMiddleware } from 'x402-express';
import { createServer } from 'node:http';
import { listening } from './child.mjs';

const { LAB_FACILITATOR, LAB_NAME, LAB_PAY_TO } = process.env;
const app = express();
app.set('x-powered-by', false);
app.use(express.json());
const offer = (price) => ({ price, network: 'base-sepolia', config: { description: 'something of the lab' } });
app.use(paymentMiddleware(LAB_PAY_TO, {
  'GET /weather': offer('$0.01'),
  'POST /echo': offer('$0.01'),
  'GET /dear': offer('$5'),
  'GET /item/*': offer('$0.001'),
  'GET /broken/*': offer('$0.01'),
}, { url: LAB_FACILITATOR }));
app.get('/weather', (_, response) => response.json({ weather: 'sunny', by: LAB_NAME }));
app.post('/echo', (request, response) => response.json({ echo: request.body, by: LAB_NAME }));
app.get('/dear', (_, response) => response.json({ item: 'dear', by: LAB_NAME }));
app.get('/item/:n', (request, response) => response.json({ item: request.params.n, by: LAB_NAME }));
app.get('/broken/:n', (_, response) => response.status(500).json({ error: 'out of order' }));
listening(createServer(app));
