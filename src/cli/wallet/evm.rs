//! `bursar wallet add evm`: an account of Bursar's own for stablecoins. Its key is never printed.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use super::{file::write_new_secret, hidden, link};
use crate::{
    cli::{
        Done, Failure,
        show::{print, print_json, say},
    },
    config::{Config, EvmConfig, EvmKey, KeyFrom},
    evm::Address,
    secret::Secret,
    wallet::evm::{Key, id_of, is_keystore},
};

/// The shortest passphrase that is taken for a new keystore.
const SHORTEST: usize = 8;

/// Make an account that pays with USDC (x402 and other APIs that take it).
///
/// The key is made here and written to evm.key in Bursar's home (or where config.toml says), readable by you alone. What
/// is printed is the account's address: send some USDC there, as much as you would carry in a purse. No ETH is needed,
/// since sellers pay the gas.
///
/// With --keystore the file is encrypted with a passphrase. A server that a host starts cannot ask for it: name a file
/// that holds it in BURSAR_EVM_PASSPHRASE_FILE.
///
/// A key that is there is never written over, and no command prints one.
#[derive(Args)]
pub(super) struct EvmArgs {
    /// Read a private key (64 hex digits) instead of making one, from the terminal without echo or from a pipe
    #[arg(long)]
    import: bool,
    /// Encrypt the file with a passphrase (V3 keystore)
    #[arg(long)]
    keystore: bool,
    /// Keep the key in the operating system's keychain
    #[cfg(feature = "keychain")]
    #[arg(long, conflicts_with = "keystore")]
    keychain: bool,
}

pub(super) async fn run(args: EvmArgs, as_json: bool) -> Done {
    let config = Config::without_wallet(crate::config::home()?)?;
    let evm = &config.evm;
    let path = &evm.key_file;
    if std::fs::symlink_metadata(path).is_ok() {
        return Err(Failure::new(format!(
            "there is a key already, and it was not touched: {}. If it is to go, move its money and then the file away \
             by hand",
            path.display()
        )));
    }
    let key = if args.import {
        Key::read(&hidden::read_line("Private key (it is not shown): ").await?)?
    } else {
        Key::generate()
    };
    let (text, passphrase) = text(&args, evm, &key).await?;
    crate::ledger::secure_home(&config.home)?;
    write_new_secret(path, &text)?;
    opens_again(evm, &key, passphrase)?;
    tell(evm, &key.address(), as_json)
}

/// What is written to the file, and the passphrase that opens it.
async fn text(args: &EvmArgs, evm: &EvmConfig, key: &Key) -> Result<(Secret, Option<Secret>), Failure> {
    #[cfg(feature = "keychain")]
    if args.keychain {
        use crate::wallet::evm::{IN_KEYCHAIN, keep_in_keychain};
        keep_in_keychain(key)?;
        return Ok((Secret::new(format!("{IN_KEYCHAIN} {}", key.address())), None));
    }
    if !args.keystore {
        return Ok((key.file(), None));
    }
    let passphrase = match evm.read_passphrase()? {
        Some(passphrase) => passphrase,
        None => new_passphrase().await?,
    };
    if passphrase.expose().chars().count() < SHORTEST {
        return Err(Failure::new(format!("a passphrase has {SHORTEST} characters or more; nothing was written")));
    }
    Ok((key.keystore(&passphrase), Some(passphrase)))
}

async fn new_passphrase() -> Result<Secret, Failure> {
    let first = hidden::read_line("New passphrase (it is not shown): ").await?;
    if io::stdin().is_terminal() && hidden::read_line("The same again: ").await? != first {
        return Err(Failure::new("the two are not the same; nothing was written"));
    }
    Ok(first)
}

/// Reads back what was written: money is about to be sent to it.
fn opens_again(evm: &EvmConfig, key: &Key, passphrase: Option<Secret>) -> Result<(), Failure> {
    let from = KeyFrom::File(evm.key_file.clone());
    let text = Secret::new(std::fs::read_to_string(&evm.key_file)?);
    let evm = EvmConfig { passphrase, ..evm.clone() };
    let again = Key::unlock(&EvmKey { from, text }, &evm)?;
    if again.address() != key.address() {
        return Err(Failure::new("what was written does not read back as the same key: do not use it"));
    }
    Ok(())
}

fn tell(evm: &EvmConfig, address: &Address, as_json: bool) -> Done {
    let chains: Vec<_> = evm.chains.iter().map(|c| c.chain.name).collect();
    let path = evm.key_file.display();
    if as_json {
        let account = address.to_string();
        return print_json(&json!({
            "kind": "evm", "id": id_of(address), "address": account, "source": path.to_string(), "chains": chains,
        }));
    }
    say(&format!("Bursar's account for stablecoins:\n\n  {address}\n"))?;
    if let Some(square) = link::square_for_terminal(&address.to_string()) {
        print(&format!("{square}\n"))?;
    }
    let (on, what) = (chains.join(", "), if evm.is_test() { "test USDC (faucet.circle.com)" } else { "USDC" });
    say(&format!(
        "It pays with USDC on {on}. To fund it, send {what} to this address on one of: {on}.\n\
         Send as much as you would carry in a purse; on another chain it is lost to Bursar. No ETH is needed: sellers \
         pay the gas.\n\
         Its key is in {path}, readable by you alone. Keep a copy in a safe place: whoever has the key has the money,\n\
         and without it the money is gone."
    ))?;
    if std::env::var_os("BURSAR_EVM_KEY").is_some_and(|key| !key.is_empty()) {
        say("Note: the variable BURSAR_EVM_KEY is set here and comes first. Unset it to use this account.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks a person for the passphrase of a keystore, where there is a person and no file that holds it.
pub(in crate::cli) async fn ask_passphrase(config: &mut Config) -> Result<(), Failure> {
    let evm = &mut config.evm;
    let Some(key) = evm.key.as_ref().filter(|key| is_keystore(&key.text)) else { return Ok(()) };
    if evm.passphrase_file.is_none() && evm.passphrase.is_none() && io::stdin().is_terminal() {
        evm.passphrase = Some(hidden::read_line(&format!("Passphrase of {} (it is not shown): ", key.from)).await?);
    }
    Ok(())
}
