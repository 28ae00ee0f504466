// The chain of the lab: anvil with a token where Base Sepolia has its USDC, and what can be read from it afterwards.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { encodeFunctionData, getAddress, numberToHex, pad, parseAbi } from 'viem';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const require = createRequire(import.meta.url);

export const CHAIN_ID = 84532;
export const TOKEN = '0x036CbD53842c5426634e7929541eC2318f3dCF7e';
const SEPARATOR = '0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818';
// keccak256 of Transfer(address,address,uint256) and of AuthorizationUsed(address,bytes32).
const TRANSFER = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef';
const USED = '0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5';
const abi = parseAbi([
  'function mint(address to, uint256 value)', 'function balanceOf(address) view returns (uint256)',
  'function authorizationState(address authorizer, bytes32 nonce) view returns (bool)',
  'function DOMAIN_SEPARATOR() view returns (bytes32)', 'function name() view returns (string)',
]);

// The native program, not the script around it: what is started has to be what is ended.
export const anvil = () => {
  const machine = { x64: 'amd64', arm64: 'arm64' }[process.arch];
  return here(`node_modules/@foundry-rs/anvil-${process.platform}-${machine}/bin/anvil`);
};
// A block for every transaction, as the flashblocks of Base nearly are, and one every two seconds in any case: a head
// that is old makes authorizations "not yet valid".
export const anvilArgs = ['--chain-id', String(CHAIN_ID), '--mixed-mining', '--block-time', '2', '--port', '0',
  '--host', '127.0.0.1'];

function compiled() {
  const source = readFileSync(here('token.sol'), 'utf8');
  const kept = here(`token-${createHash('sha256').update(source).digest('hex').slice(0, 16)}.json`);
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, 'utf8')).bytecode;
  const solc = require('solc');
  const input = {
    language: 'Solidity',
    sources: { 'token.sol': { content: source } },
    settings: { evmVersion: 'cancun', optimizer: { enabled: true, runs: 200 },
      outputSelection: { '*': { Token: ['evm.bytecode.object'] } } },
  };
  const read = (path) => ({ contents: readFileSync(here(`node_modules/${path}`), 'utf8') });
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const errors = (output.errors ?? []).filter(({ severity }) => severity === 'error');
  assert.deepEqual(errors, []);
  const bytecode = `0x${output.contracts['token.sol'].Token.evm.bytecode.object}`;
  writeFileSync(`${kept}.new`, JSON.stringify({ bytecode }));
  renameSync(`${kept}.new`, kept);
  return bytecode;
}

export class Chain {
  constructor(rpc) {
    this.rpc = rpc;
    this.id = 0;
  }

  async ask(method, ...params) {
    const body = JSON.stringify({ jsonrpc: '2.0', id: ++this.id, method, params });
    const response = await fetch(this.rpc, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const { result, error } = await response.json();
    if (error) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result;
  }

  async #send(transaction) {
    const [account] = await this.ask('eth_accounts');
    const hash = await this.ask('eth_sendTransaction', { from: account, gas: '0x4c4b40', ...transaction });
    for (;;) {
      const receipt = await this.ask('eth_getTransactionReceipt', hash);
      if (receipt) {
        assert.equal(receipt.status, '0x1', 'a transaction of the lab itself was reverted');
        return receipt;
      }
      await new Promise((done) => { setTimeout(done, 20); });
    }
  }

  #call(functionName, args = []) {
    return this.ask('eth_call', { to: TOKEN, data: encodeFunctionData({ abi, functionName, args }) }, 'latest');
  }

  // The constructor's immutables are in the code and its names in the first slots, so both are copied. The domain is
  // then built from the address the code stands at.
  async setToken() {
    const { contractAddress } = await this.#send({ data: compiled() });
    await this.ask('anvil_setCode', TOKEN, await this.ask('eth_getCode', contractAddress, 'latest'));
    for (let slot = 0; slot < 16; slot++) {
      const value = await this.ask('eth_getStorageAt', contractAddress, numberToHex(slot), 'latest');
      if (BigInt(value)) await this.ask('anvil_setStorageAt', TOKEN, pad(numberToHex(slot)), pad(value));
    }
    assert.equal(await this.#call('DOMAIN_SEPARATOR'), SEPARATOR, 'the token has another domain than the real one');
  }

  mint(to, value) {
    return this.#send({ to: TOKEN, data: encodeFunctionData({ abi, functionName: 'mint', args: [to, value] }) });
  }

  async balanceOf(address) {
    return BigInt(await this.#call('balanceOf', [address])).toString();
  }

  async used(from, nonce) {
    return BigInt(await this.#call('authorizationState', [from, nonce])) === 1n;
  }

  // Every transfer that an authorization caused. Its two events stand next to each other in one transaction.
  async transfers() {
    const logs = await this.ask('eth_getLogs', { address: TOKEN, fromBlock: '0x0', toBlock: 'latest',
      topics: [[TRANSFER, USED]] });
    const address = (topic) => getAddress(`0x${topic.slice(26)}`);
    const nonces = new Map();
    for (const { topics, transactionHash } of logs) {
      if (topics[0] === USED) nonces.set(transactionHash, topics[2]);
    }
    return logs.filter(({ topics, transactionHash }) => topics[0] === TRANSFER && nonces.has(transactionHash))
      .map(({ topics, data, transactionHash, blockNumber }) => ({
        from: address(topics[1]), to: address(topics[2]), value: BigInt(data).toString(),
        nonce: nonces.get(transactionHash), tx: transactionHash, block: Number(blockNumber),
      }));
  }
}
