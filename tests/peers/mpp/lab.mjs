// The MPP lab: Tempo and Base Sepolia as anvil has them, and the sellers. Everything is on loopback, on free ports, and
// ends with this process.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { encodeFunctionData, getAddress, pad, parseAbi, toHex } from 'viem';
import { Chain, TOKEN, anvil, anvilArgs } from './chain.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
export const PATH_USD = '0x20c0000000000000000000000000000000000000';
// keccak256 of Transfer(address,address,uint256).
const TRANSFER = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef';
const MANAGER = '0xfeec000000000000000000000000000000000000';
const abi = parseAbi([
  'function transfer(address to, uint256 value) returns (bool)', 'function balanceOf(address) view returns (uint256)',
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)',
]);
// Tempo as it was measured: without blocks at intervals its clock stands at 1.
const TEMPO = ['--network', 'tempo', '--chain-id', '42431', '--hardfork', 't3', '--block-time', '1', '--port', '0',
  '--host', '127.0.0.1'];
// anvil does not look at its standard input, so a shell does.
const KEEP = '"$@" & kept=$!; trap "kill $kept; wait $kept" EXIT; cat > /dev/null';

const children = [];
function run(name, command, args, env = {}, found = (line) => (line.startsWith('{') ? JSON.parse(line) : undefined)) {
  const child = spawn(command, args, {
    cwd: here('.'), stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1', NO_PROXY: '*', ...env },
  });
  children.push(child);
  child.stdin.on('error', () => {});
  let complaints = '';
  child.stderr.on('data', (data) => {
    complaints = (complaints + data).slice(-20_000);
    if (process.env.LAB_VERBOSE === '1') process.stderr.write(data);
  });
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('exit', (status) => fail(new Error(`${name} ended with ${status}: ${complaints}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const words = found(line);
      if (words) done(`http://127.0.0.1:${words.port}`);
    });
  });
}
export const end = () => children.forEach((child) => child.stdin.destroy());
const node = (name, args) => run(name, 'sh', ['-c', KEEP, 'sh', anvil(), ...args], {},
  (line) => /^Listening on 127\.0\.0\.1:(?<port>\d+)/.exec(line)?.groups);
// Between Bursar and a seller: it passes everything on, and spoils what comes of a payment.
export const spoiler = (target, paid) => new Promise((done) => {
  const server = createServer(async (request, response) => {
    const { authorization } = request.headers;
    if (authorization && paid === 'swallowed') return request.socket.destroy();
    const answer = await fetch(target + request.url, { headers: authorization ? { authorization } : {} });
    const body = Buffer.from(await answer.arrayBuffer());
    if (authorization && paid === 'unanswered') return request.socket.destroy();
    const headers = ['www-authenticate', 'payment-receipt', 'content-type'];
    for (const name of headers) if (answer.headers.has(name)) response.setHeader(name, answer.headers.get(name));
    return response.writeHead(answer.status).end(body);
  });
  server.unref().listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${server.address().port}`));
});
const listen = (handler) => new Promise((done) => {
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    try {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(await handler(JSON.parse(Buffer.concat(chunks)))));
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
  server.unref().listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${server.address().port}`));
});

export class Ledger extends Chain {
  constructor(rpc, token) {
    super(rpc);
    this.token = token;
  }

  async send(transaction) {
    const [from] = await this.ask('eth_accounts');
    const hash = await this.ask('eth_sendTransaction', { from, gas: '0x4c4b40', ...transaction });
    for (;;) {
      const receipt = await this.ask('eth_getTransactionReceipt', hash);
      if (receipt) {
        assert.equal(receipt.status, '0x1', 'it was reverted');
        return hash;
      }
      await new Promise((done) => { setTimeout(done, 20); });
    }
  }

  give(to, value) {
    return this.send({ to: this.token, data: encodeFunctionData({ abi, functionName: 'transfer', args: [to, value] }) });
  }

  async has(account) {
    const data = encodeFunctionData({ abi, functionName: 'balanceOf', args: [account] });
    return BigInt(await this.ask('eth_call', { to: this.token, data }, 'latest'));
  }

  // What an account paid to others. What Tempo takes for gas goes to its fee manager and is told by itself.
  async paidBy(account) {
    const logs = await this.ask('eth_getLogs', { address: this.token, fromBlock: '0x0', toBlock: 'latest',
      topics: [TRANSFER, pad(account.toLowerCase())] });
    const all = logs.map(({ topics, data }) => ({ to: getAddress(`0x${topics[2].slice(26)}`), value: Number(data) }));
    const sum = (rows) => rows.reduce((total, { value }) => total + value, 0);
    const isFee = ({ to }) => to.toLowerCase() === MANAGER;
    return { rows: all.filter((row) => !isFee(row)), sum: sum(all.filter((row) => !isFee(row))), fees: sum(all.filter(isFee)) };
  }
}

export async function startLab(buyer, sponsor, sponsorKey, payTo) {
  const [tempoRpc, baseRpc] = await Promise.all([node('tempo', TEMPO), node('base', anvilArgs)]);
  const tempo = new Ledger(tempoRpc, PATH_USD);
  const base = new Ledger(baseRpc, TOKEN);
  await base.setToken();
  await base.mint(buyer, 1_000_000_000n);
  for (const one of [buyer, sponsor]) await tempo.give(one, 1_000_000_000n);
  // Of eth_sendRawTransactionSync anvil knows the first argument only.
  const shim = await listen(async (asked) => {
    const short = (one) => (one.method === 'eth_sendRawTransactionSync' ? { ...one, params: one.params.slice(0, 1) } : one);
    const body = JSON.stringify(Array.isArray(asked) ? asked.map(short) : short(asked));
    return (await fetch(tempoRpc, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).json();
  });
  const settle = await listen(async ({ from, to, value, validAfter, validBefore, nonce, signature }) => {
    const [r, s, v] = [signature.slice(0, 66), `0x${signature.slice(66, 130)}`, Number(`0x${signature.slice(130)}`)];
    const args = [from, to, BigInt(value), BigInt(validAfter), BigInt(validBefore), nonce, v, r, s];
    const data = encodeFunctionData({ abi, functionName: 'transferWithAuthorization', args });
    return { transaction: await base.send({ to: TOKEN, data }) };
  });
  const env = (name) => ({ LAB_TEMPO: shim, LAB_SETTLE: settle, LAB_PAY_TO: payTo[name], LAB_SPONSOR: toHex(sponsorKey) });
  const python = process.env.LAB_PYTHON ?? here('../mpp-py/bin/python');
  const { PEER_MPP_RS: rust } = process.env;
  const [mppx, pympp, mppRs] = await Promise.all([
    run('mppx', process.execPath, [here('server.mjs')], env('mppx')),
    run('pympp', python, [here('server.py')], env('pympp')),
    ...(rust ? [run('mpp-rs', rust, [], env('mpp-rs'))] : []),
  ]);
  return { tempo, base, tempoRpc, baseRpc, servers: { mppx, pympp, ...(mppRs ? { 'mpp-rs': mppRs } : {}) } };
}
