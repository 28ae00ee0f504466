// Bursar pays with USDC at sellers that others wrote, and the chain is the witness. First the lab is checked with
// @x402/fetch. PEER_X402_LAB_ONLY=1 stops there.
import { randomBytes } from 'node:crypto';
import { checkLab } from './lab_check.mjs';
import { startLab } from './world.mjs';

const [sdkKey, bursarKey, benchKey] = [0, 0, 0].map(() => randomBytes(32).toString('hex'));
const begun = performance.now();
const lab = await startLab([sdkKey, bursarKey, benchKey]);
console.log(`x402: the lab is up after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
await checkLab(lab, sdkKey);
await lab.end();
