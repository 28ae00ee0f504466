//! `bursar init`, as a person runs it.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::host;

#[tokio::test]
async fn init_writes_a_private_config_that_changes_nothing_and_never_overwrites_one() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let envs = [("BURSAR_HOME".to_owned(), home.display().to_string())];
    let (code, out, err) = host::run(&envs, &["init"]).await;
    assert_eq!(code, 0, "{err}");
    let path = home.join("config.toml");
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["config"], path.display().to_string());
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&home)), (0o600, 0o700));
    let before =
        host::run(&[("BURSAR_HOME".to_owned(), dir.path().join("none").display().to_string())], &["budget"]).await;
    assert_eq!(host::run(&envs, &["budget"]).await.1, before.1, "a config that is all comments changed a limit");

    std::fs::write(&path, "[waits]\nanswer = 7\n").unwrap();
    let (code, _, err) = host::run(&envs, &["init"]).await;
    assert!(code == 1 && err.contains("not touched") && err.contains(&path.display().to_string()), "{err}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[waits]\nanswer = 7\n");
}
