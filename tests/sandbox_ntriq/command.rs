//! What of it a person sees: keys that stay, and the command that starts it.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use bursar::sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;

#[tokio::test]
async fn a_sandbox_with_a_home_keeps_its_account_and_one_without_has_another_each_time() {
    let home = tempfile::tempdir().unwrap();
    let kept = || SandboxOptions { home: Some(home.path().to_owned()), ..SandboxOptions::default() };
    let first = Sandbox::start(kept()).await.unwrap();
    let (key, shop) = (first.evm_key(), first.ntriq().pay_to());
    assert_eq!((key.expose().len(), format!("{key:?}")), (64, "[secret]".to_owned()));
    drop(first);
    let again = Sandbox::start(kept()).await.unwrap();
    assert!(again.evm_key() == key && again.ntriq().pay_to() == shop);
    assert_eq!(again.chain().balance_of(&again.evm_address()), 100_000_000);
    assert_ne!(again.evm_address(), shop);
    let options = SandboxOptions { balance_micro_usd: 7, ..SandboxOptions::default() };
    let other = Sandbox::start(options).await.unwrap();
    assert!(other.evm_key() != key);
    assert_eq!(other.chain().balance_of(&other.evm_address()), 7);
}

/// Ends what it started, whatever the test found.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `bursar sandbox` in a home and reads what it says about itself.
fn start(home: &Path) -> (Running, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    command.args(["sandbox", "--port", "0", "--json", "--home"]).arg(home).env("BURSAR_HOME", home);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let running = Running(child);
    let mut said = String::new();
    for line in out.lines() {
        said.push_str(&line.unwrap());
        if let Ok(said) = serde_json::from_str(&said) {
            return (running, said);
        }
    }
    panic!("it ended, and said {said}");
}

#[test]
fn the_command_leaves_the_key_and_a_config_that_names_the_node_and_overwrites_no_config() {
    let home = tempfile::tempdir().unwrap();
    let (running, said) = start(home.path());
    let key = std::fs::read_to_string(home.path().join("evm.key")).unwrap();
    assert!(key.trim_end().len() == 64 && key.trim_end().chars().all(|c| c.is_ascii_hexdigit()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(home.path().join("evm.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let config = std::fs::read_to_string(home.path().join("config.toml")).unwrap();
    assert_eq!(config, format!("[evm.chains.base-sepolia]\nrpc = [{}]\n[evm.chains.tempo-moderato]\n", said["rpc"]));
    assert!(said["ntriq"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(said["mpp"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    let pack = std::fs::read_to_string(home.path().join("catalog/sandbox.jsonl")).unwrap();
    for sold in [
        format!("{}/invoice-extract\"", said["ntriq"].as_str().unwrap()),
        format!("{}/api/", said["jamie"].as_str().unwrap()),
    ] {
        assert!(pack.contains(&sold), "{sold} is found here too");
    }
    assert!(!said.to_string().contains(key.trim_end()), "the key itself is not printed");
    drop(running);

    std::fs::write(home.path().join("config.toml"), "# mine\n").unwrap();
    let (_running, _) = start(home.path());
    assert_eq!(std::fs::read_to_string(home.path().join("config.toml")).unwrap(), "# mine\n");
    assert_eq!(std::fs::read_to_string(home.path().join("evm.key")).unwrap(), key);
}
