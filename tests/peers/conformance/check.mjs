// The official conformance suite in both of MCP's eras: against the real server, and against a server that mounts the suite's
// own fixtures behind the same way in (examples/conformance). What may fail stands in a baseline, check by check: for the
// real server the fixtures that it does not have, for the other one nothing. A failure that is not in it fails, and so does
// a line that is stale.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { proxy } from './proxy.mjs';
import { homeOf, serve } from './serve.mjs';

const suite = fileURLToPath(new URL('./node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url));
const here = (name) => fileURLToPath(new URL(`./${name}`, import.meta.url));
// How many checks the suite has for a server that can be asked all of them.
const WHOLE = { '2025-11-25': 83, '2026-07-28': 197 };
const fixtures = process.env.PEER_FIXTURES;

async function judge(revision, program) {
  const name = program ? `fixtures-${revision}` : revision;
  const door = await serve(homeOf(name), [], program);
  const between = await proxy(door);
  const out = `${process.env.PEER_HOME}/out-${name}`;
  const baseline = here(`baseline-${name}.yml`);
  const expected = existsSync(baseline) ? ['--expected-failures', baseline] : [];
  const run = spawn(
    process.execPath,
    [suite, 'server', '--url', between.url, '--requirements', revision, ...expected, '-o', out],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  for (const stream of [run.stdout, run.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  const [status] = await once(run, 'exit');
  const [total] = said.match(/Total: .*/g)?.slice(-1) ?? [''];
  console.log(`conformance ${name}: ${total}`);
  if (process.env.PEER_FAILURES) {
    // Every check that failed, as a line of the baseline would name it, with why.
    for (const folder of readdirSync(out).sort()) {
      const scenario = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '');
      for (const check of JSON.parse(readFileSync(`${out}/${folder}/checks.json`, 'utf8'))) {
        if (!['FAILURE', 'WARNING', 'SKIPPED'].includes(check.status)) continue;
        const why = (check.errorMessage ?? '').replace(/\s+/g, ' ').slice(0, 160);
        console.log(`  - ${scenario}:${check.id}  # ${check.status} ${why}`);
      }
    }
  } else {
    assert.equal(status, 0, said.slice(-8000));
    if (program) assert.match(total, new RegExp(`^Total: ${WHOLE[revision]} passed, 0 failed`));
  }
  between.close();
  await door.close();
}

for (const revision of Object.keys(WHOLE)) {
  await judge(revision);
  if (fixtures) await judge(revision, fixtures);
}
