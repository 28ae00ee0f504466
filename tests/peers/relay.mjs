// A wallet that takes its time: what the relay says reaches Bursar later, for as long as the check wants that.
import { createServer, connect } from 'node:net';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';

/** Puts itself between a home and its wallet's relay. `slow.ms` is how late each word of the relay comes. */
export async function slowRelay(home) {
  const file = `${home}/wallet.nwc`;
  const uri = new URL(readFileSync(file, 'utf8').trim());
  const relay = new URL(uri.searchParams.get('relay'));
  const slow = { ms: 0 };
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: relay.hostname, port: Number(relay.port), noDelay: true });
    near.pipe(far);
    far.on('data', (bytes) => setTimeout(() => near.writable && near.write(bytes), slow.ms));
    far.on('close', () => near.destroy());
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  uri.searchParams.set('relay', `ws://127.0.0.1:${server.address().port}`);
  writeFileSync(file, `${uri.href}\n`, { mode: 0o600 });
  return slow;
}
