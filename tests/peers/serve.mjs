// Bursar over HTTP, with a purse of its own for one peer: where it is, and what opens it.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync } from 'node:fs';

/** A home with the play wallet in it. */
export function homeOf(name) {
  const home = `${process.env.PEER_HOME}/${name}`;
  mkdirSync(home, { mode: 0o700 });
  copyFileSync(`${process.env.PEER_HOME}/wallet.nwc`, `${home}/wallet.nwc`);
  return home;
}

/** Starts a server over HTTP; `fixtures` is a program that mounts something else behind the same way in. */
export async function serve(home, config = [], fixtures = undefined) {
  const env = { BURSAR_HOME: home, BURSAR_ALLOW_LOOPBACK: '1', PATH: process.env.PATH };
  const made = spawnSync(process.env.PEER_BURSAR, ['token', 'create', 'peer', '--json'], { env, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  const { token } = JSON.parse(made.stdout);
  const args = fixtures ? [] : ['serve', '--http', '127.0.0.1:0', '--sse', ...config];
  const child = spawn(fixtures ?? process.env.PEER_BURSAR, args, {
    env,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  while (!/127\.0\.0\.1:\d+\/mcp/.test(said)) {
    if (child.exitCode !== null) throw new Error(said);
    await once(child.stderr, 'data');
  }
  const at = `http://127.0.0.1:${/127\.0\.0\.1:(\d+)\/mcp/.exec(said)[1]}`;
  // A check that fails leaves nothing behind.
  process.on('exit', () => child.kill());
  const close = async () => {
    if (child.exitCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    if (child.exitCode !== 0) throw new Error(`the server ended with ${child.exitCode}: ${said}`);
  };
  return { at, mcp: new URL(`${at}/mcp`), sse: new URL(`${at}/sse`), token, headers: { Authorization: `Bearer ${token}` }, close };
}
