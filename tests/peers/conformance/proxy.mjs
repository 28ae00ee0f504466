// The suite sends no token, so this stands in between and adds one. It changes nothing else: a Host or an Origin that the
// suite forges stays forged, and only the proxy's own name becomes the server's own.
import { once } from 'node:events';
import http from 'node:http';

export async function proxy(door) {
  const target = new URL(door.at);
  let own;
  const server = http.createServer((request, response) => {
    const headers = { ...request.headers, authorization: `Bearer ${door.token}` };
    for (const name of ['127.0.0.1', 'localhost']) {
      if (headers.host === `${name}:${own}`) headers.host = `${name}:${target.port}`;
      if (headers.origin === `http://${name}:${own}`) headers.origin = `http://${name}:${target.port}`;
    }
    const onward = http.request(
      { host: target.hostname, port: target.port, method: request.method, path: request.url, headers },
      (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        response.flushHeaders();
        answer.pipe(response);
        answer.on('error', () => response.destroy());
      },
    );
    onward.setNoDelay(true);
    onward.on('error', () => response.destroy());
    // Whoever hangs up on us hangs up on the server.
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  own = server.address().port;
  return { url: `http://127.0.0.1:${own}/mcp`, close: () => (server.closeAllConnections(), server.close()) };
}
