// The official conformance suite against the real server, in both of MCP's eras. What may fail stands in a baseline, check
// by check: fixtures that only a test server has. A failure that is not in it fails, and so does a line that is stale.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { proxy } from './proxy.mjs';
import { homeOf, serve } from './serve.mjs';

const suite = fileURLToPath(new URL('./node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url));
for (const revision of ['2025-11-25', '2026-07-28']) {
  const door = await serve(homeOf(revision));
  const between = await proxy(door);
  const out = `${process.env.PEER_HOME}/out-${revision}`;
  const baseline = fileURLToPath(new URL(`./baseline-${revision}.yml`, import.meta.url));
  const run = spawn(
    process.execPath,
    [suite, 'server', '--url', between.url, '--requirements', revision, '--expected-failures', baseline, '-o', out],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  for (const stream of [run.stdout, run.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  const [status] = await once(run, 'exit');
  if (process.env.PEER_FAILURES) {
    // Every check that failed, as a line of the baseline would name it, with why.
    for (const folder of readdirSync(out).sort()) {
      const scenario = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '');
      for (const check of JSON.parse(readFileSync(`${out}/${folder}/checks.json`, 'utf8'))) {
        if (check.status !== 'FAILURE') continue;
        console.log(`  - ${scenario}:${check.id}  # ${(check.errorMessage ?? '').replace(/\s+/g, ' ').slice(0, 160)}`);
      }
    }
  } else {
    assert.equal(status, 0, said.slice(-8000));
  }
  const [total] = said.match(/Total: .*/g)?.slice(-1) ?? [''];
  console.log(`conformance ${revision}: ${total}`);
  between.close();
  await door.close();
}
