// A proxy in front of each seller. It hands everything on as it is, and spoils what comes back for items whose name
// begins so:
//   drop-   a paid answer of 200 is lost: the connection breaks before a byte of it
//   once-   the same, but only the first time; later ones come through
//   again-  a paid answer of 200 becomes a 402 that asks for the money again
//   stall-  a paid request is handed on and never answered
//   pause-  the same, but only the first time
//   skew-   the clock of the answers is an hour behind
import { createServer, request as ask } from 'node:http';
import { listening } from './child.mjs';

const collect = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
};
// The Host stays as the client wrote it, so that the seller quotes for the URL that was asked.
const forward = (target, { method, url, rawHeaders }, body, without = []) => new Promise((done, fail) => {
  const headers = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase();
    if (!without.includes(name) && name !== 'connection') headers[name] = rawHeaders[i + 1];
  }
  const { hostname: host, port } = new URL(target);
  const sent = ask({ host, port, method, path: url, headers, agent: false }, async (got) => {
    done({ status: got.statusCode, headers: got.headers, body: await collect(got) });
  });
  sent.on('error', fail);
  sent.end(body);
});

const spoiled = { drop: 0, once: 0, again: 0, stall: 0, pause: 0, skew: 0 };
const before = new Set();
const proxy = (target) => createServer(async (request, response) => {
  try {
    if (request.url === '/spoiled') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(spoiled));
      return;
    }
    const kind = /^\/\w+\/(drop|once|again|stall|pause|skew)-/.exec(request.url)?.[1];
    const paid = 'payment-signature' in request.headers || 'x-payment' in request.headers;
    const body = await collect(request);
    let got = await forward(target, request, body);
    const settled = paid && got.status === 200;
    const first = !before.has(target + request.url);
    if (settled || kind === 'skew') {
      if (kind) spoiled[kind]++;
      before.add(target + request.url);
    }
    if (settled && (kind === 'drop' || (kind === 'once' && first))) {
      request.socket.destroy();
      return;
    }
    if ((paid && kind === 'stall') || (settled && kind === 'pause' && first)) return;
    if (settled && kind === 'again') got = await forward(target, request, body, ['payment-signature', 'x-payment']);
    if (kind === 'skew') got.headers.date = new Date(Date.now() - 3_600_000).toUTCString();
    const { connection, 'keep-alive': _, 'transfer-encoding': __, ...headers } = got.headers;
    response.writeHead(got.status, { ...headers, 'content-length': got.body.length });
    response.end(got.body);
  } catch (error) {
    console.error(error);
    response.destroy();
  }
});

const [first, ...rest] = Object.entries(JSON.parse(process.env.LAB_TARGETS)).map(([name, target]) => [name, proxy(target)]);
const ports = {};
for (const [name, server] of rest) {
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  ports[name] = server.address().port;
}
listening(first[1], () => ({ ports: { [first[0]]: first[1].address().port, ...ports } }));
