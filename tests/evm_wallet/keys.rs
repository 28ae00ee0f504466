//! Where a key comes from, and what is refused there without being repeated.

use std::{os::unix::fs::PermissionsExt, path::Path};

use bursar::{
    clock::Clock,
    config::{Config, ConfigError, EvmKey, KeyFrom},
    http::Client,
    secret::Secret,
    wallet::{
        WalletError,
        evm::{Key, claimed_address},
        evm_from_config,
    },
};

use crate::node::{ACCOUNT, KEY, config_of};

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn made(config: &Config) -> Result<String, WalletError> {
    let client = Client::new(config.http.clone());
    evm_from_config(config, Clock::system(), client).unwrap().map(|wallet| wallet.id())
}

/// A configuration that found its key in its file.
fn loaded(home: &Path, text: &str) -> Config {
    let mut config = config_of(home, text);
    config.evm.key = config.evm.keys().into_iter().next().transpose().unwrap();
    config
}

#[test]
fn a_key_file_is_found_in_the_home_or_where_the_config_says_and_none_is_no_wallet() {
    let home = tempfile::tempdir().unwrap();
    let config = loaded(home.path(), "");
    assert!(config.evm.key.is_none() && !config.has_wallet());
    assert!(evm_from_config(&config, Clock::system(), Client::new(config.http.clone())).is_none());

    write(&home.path().join("evm.key"), &format!("0x{KEY}\n"), 0o600);
    assert_eq!(made(&loaded(home.path(), "")).unwrap(), format!("evm:{ACCOUNT}"));
    let other = home.path().join("other.key");
    write(&other, &"11".repeat(32), 0o600);
    let config = loaded(home.path(), &format!("[evm]\nkey_file = {:?}", other));
    assert_eq!(config.evm.key.as_ref().unwrap().from, KeyFrom::File(other));
    assert_ne!(made(&config).unwrap(), format!("evm:{ACCOUNT}"));
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let home = tempfile::tempdir().unwrap();
    for mode in [0o644, 0o640, 0o604] {
        write(&home.path().join("evm.key"), KEY, mode);
        let found = config_of(home.path(), "").evm.keys();
        let [Err(e @ ConfigError::Open { .. })] = found.as_slice() else { panic!("{found:?}") };
        let say = e.to_string();
        assert!(say.contains("chmod 600") && !say.contains(KEY), "{say}");
    }
}

#[test]
fn a_wrong_key_says_where_and_quotes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let long = format!("{KEY}CANARY");
    for wrong in ["CANARY", &KEY[1..], &long, "{\"CANARY\": 1}", "{CANARY", "keychain"] {
        write(&home.path().join("evm.key"), wrong, 0o600);
        let mut config = loaded(home.path(), "");
        config.evm.passphrase = Some(Secret::new("CANARY"));
        let say = made(&config).unwrap_err().to_string();
        assert!(say.contains("evm.key"), "{say}");
        assert!(!say.contains("CANARY") && !say.contains(&KEY[1..]), "{say}");
    }
}

#[test]
fn a_keystore_is_opened_when_the_wallet_is_made_and_needs_its_passphrase() {
    let home = tempfile::tempdir().unwrap();
    let key = Key::read(&Secret::new(KEY)).unwrap();
    let keystore = key.keystore(&Secret::new("correct horse"));
    write(&home.path().join("evm.key"), keystore.expose(), 0o600);
    let config = loaded(home.path(), "");
    assert_eq!(claimed_address(&config.evm.key.as_ref().unwrap().text), Some(key.address()));
    let say = made(&config).unwrap_err().to_string();
    assert!(say.contains("BURSAR_EVM_PASSPHRASE_FILE") && say.contains("evm.key"), "{say}");

    let file = home.path().join("passphrase");
    let with = |text: &str, mode: u32| {
        write(&file, text, mode);
        let mut config = config.clone();
        config.evm.passphrase_file = Some(file.clone());
        made(&config).map_err(|e| e.to_string())
    };
    assert_eq!(with("correct horse\n", 0o600), Ok(format!("evm:{ACCOUNT}")));
    let wrong = with("CANARY horse", 0o600).unwrap_err();
    assert!(wrong.contains("passphrase does not open it") && !wrong.contains("CANARY"), "{wrong}");
    assert!(with("correct horse", 0o644).unwrap_err().contains("chmod 600"));
    let mut gone = config.clone();
    gone.evm.passphrase_file = Some(home.path().join("nowhere"));
    assert!(made(&gone).unwrap_err().to_string().contains("cannot be read"));

    let mut typed = config.clone();
    typed.evm.passphrase = Some(Secret::new("correct horse"));
    assert_eq!(made(&typed).unwrap(), format!("evm:{ACCOUNT}"));
    let text = Secret::new(keystore.expose().replace("\"address\":\"f3", "\"address\":\"03"));
    typed.evm.key = Some(EvmKey { from: KeyFrom::Environment, text });
    let say = made(&typed).unwrap_err().to_string();
    assert!(say.contains("not the key of the address that it names"), "{say}");
}
