//! `eth_call`: what the token and Permit2 answer to those who only read.

use serde_json::Value;

use super::{
    RpcMode,
    speak::{Fault, block_of, seen_head},
};
use crate::{
    evm::{Address, hex, keccak256, permit2::CONTRACT, word},
    sandbox::chain::{Block, PlayChain},
};

pub(super) fn perform(chain: &PlayChain, mode: &RpcMode, params: &Value) -> Result<Value, Fault> {
    let head = seen_head(chain, mode);
    let block = block_of(&params[1], head)?;
    if block > head {
        return Err(Fault::new(-32000, "header not found"));
    }
    let to = params[0]["to"].as_str().and_then(|t| t.parse::<Address>().ok());
    let to = to.ok_or_else(|| Fault::params("invalid address"))?;
    // Both names are in use: `data` is the older one.
    let data = params[0].get("input").or_else(|| params[0].get("data")).and_then(Value::as_str).unwrap_or("0x");
    let digits = data.strip_prefix("0x").unwrap_or(data);
    let data = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
    let data = data.map_err(|_| Fault::params("invalid hex string"))?;
    let known = to == chain.token().address || to == CONTRACT;
    if !known || *mode == RpcMode::Empty {
        // Without code there, a call succeeds and gives nothing.
        return Ok("0x".into());
    }
    let said = if to == CONTRACT { permit2(chain, mode, block, &data) } else { read(chain, mode, block, &data) };
    match said {
        Some(words) => Ok(hex(&words).into()),
        None => Err(Fault { code: 3, message: "execution reverted".into(), data: Some("0x".into()) }),
    }
}

/// What Permit2 answers: which of 256 nonces a payer has used.
fn permit2(chain: &PlayChain, mode: &RpcMode, block: Block, data: &[u8]) -> Option<Vec<u8>> {
    let (selector, arguments) = data.split_at_checked(4)?;
    if keccak256(b"nonceBitmap(address,uint256)")[..4] != *selector {
        return None;
    }
    let payer = address(arguments.get(..32)?)?;
    let place = arguments.get(32..64)?.try_into().ok()?;
    Some(match mode {
        RpcMode::ForgetsPayments => vec![0; 32],
        RpcMode::InventsPayments => vec![0xff; 32],
        _ => chain.read(|book, _| book.permits.bitmap(&payer, &place, block)).to_vec(),
    })
}

fn read(chain: &PlayChain, mode: &RpcMode, block: Block, data: &[u8]) -> Option<Vec<u8>> {
    let (selector, arguments) = data.split_at_checked(4)?;
    let is = |signature: &str| keccak256(signature.as_bytes())[..4] == *selector;
    let token = chain.token();
    if is("balanceOf(address)") {
        let account = address(arguments.get(..32)?)?;
        let held = match mode {
            RpcMode::SaysBalance(units) => *units,
            _ => chain.read(|book, _| book.balance_at(&account, block)),
        };
        Some(word(held).to_vec())
    } else if is("authorizationState(address,bytes32)") {
        let payer = address(arguments.get(..32)?)?;
        let nonce = arguments.get(32..64)?.try_into().ok()?;
        let used = match mode {
            RpcMode::ForgetsPayments => false,
            RpcMode::InventsPayments => true,
            _ => chain.read(|book, _| book.was_used(&payer, &nonce, block)),
        };
        Some(word(u64::from(used)).to_vec())
    } else if is("allowance(address,address)") {
        let owner = address(arguments.get(..32)?)?;
        let spender = address(arguments.get(32..64)?)?;
        let given = if spender == CONTRACT { chain.read(|book, _| book.permits.allowance(&owner)) } else { 0 };
        Some(word(given).to_vec())
    } else if is("name()") {
        Some(text(&token.name))
    } else if is("symbol()") {
        Some(text("USDC"))
    } else if is("version()") {
        Some(text(&token.version))
    } else if is("decimals()") {
        Some(word(6).to_vec())
    } else if is("DOMAIN_SEPARATOR()") {
        Some(token.separator().to_vec())
    } else {
        None
    }
}

/// An address in a word; what stands before it must be zero.
fn address(word: &[u8]) -> Option<Address> {
    let (pad, bytes) = word.split_at_checked(12)?;
    pad.iter().all(|b| *b == 0).then(|| bytes.try_into().ok().map(Address))?
}

/// A string as the ABI returns it: where it starts, how long it is, its bytes up to a whole word.
fn text(text: &str) -> Vec<u8> {
    let mut out = [word(32), word(text.len() as u64)].concat();
    out.extend(text.as_bytes());
    out.resize(out.len().next_multiple_of(32), 0);
    out
}
