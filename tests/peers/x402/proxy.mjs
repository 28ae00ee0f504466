// A proxy in front of the seller of server_v2.mjs. It hands everything on as it is, and spoils what comes back:
//   /drop/N   a paid answer of 200 is lost: the connection breaks before a byte of it
//   /again/N  a paid answer of 200 becomes a 402 that asks for the money again
//   /stall/N  a paid request is handed on and never answered
//   /skew/N   the clock of the answers is an hour behind
import { createServer, request as ask } from 'node:http';
import { listening } from './child.mjs';

const target = new URL(process.env.LAB_TARGET);
const collect = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
};
// The Host stays as the client wrote it, so that the seller quotes for the URL that was asked.
const forward = ({ method, url, rawHeaders }, body, without = []) => new Promise((done, fail) => {
  const headers = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase();
    if (!without.includes(name) && name !== 'connection') headers[name] = rawHeaders[i + 1];
  }
  const sent = ask({ host: target.hostname, port: target.port, method, path: url, headers, agent: false }, async (got) => {
    done({ status: got.statusCode, headers: got.headers, body: await collect(got) });
  });
  sent.on('error', fail);
  sent.end(body);
});

const spoiled = { drop: 0, again: 0, stall: 0, skew: 0 };
const server = createServer(async (request, response) => {
  try {
    if (request.url === '/spoiled') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(spoiled));
      return;
    }
    const kind = request.url.split('/')[1];
    const paid = 'payment-signature' in request.headers || 'x-payment' in request.headers;
    const body = await collect(request);
    let got = await forward(request, body);
    const count = () => { spoiled[kind]++; };
    if (paid && got.status === 200 && kind === 'drop') {
      count();
      request.socket.destroy();
      return;
    }
    if (paid && kind === 'stall') {
      count();
      return;
    }
    if (paid && got.status === 200 && kind === 'again') {
      count();
      got = await forward(request, body, ['payment-signature', 'x-payment']);
    }
    if (kind === 'skew') {
      count();
      got.headers.date = new Date(Date.now() - 3_600_000).toUTCString();
    }
    const { connection, 'keep-alive': _, 'transfer-encoding': __, ...headers } = got.headers;
    response.writeHead(got.status, { ...headers, 'content-length': got.body.length });
    response.end(got.body);
  } catch (error) {
    console.error(error);
    response.destroy();
  }
});
listening(server);
