//! What runs it as a service: the unit and the image, checked as far as a test can without a service manager and a daemon.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    door::{Door, token},
    support::World,
};

fn packaged(name: &str) -> String {
    fs::read_to_string(root().join("packaging").join(name)).expect("it is there")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The service manager's own judgement. It looks for the binary where the unit says, so another one stands in for it.
#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = packaged("bursar.service");
    let installed = "ExecStart=/usr/local/bin/bursar ";
    assert!(unit.contains(installed));
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("SKIPPED systemd-analyze verify: it is not installed here");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bursar.service");
    let here = format!("ExecStart={} ", env!("CARGO_BIN_EXE_bursar"));
    fs::write(&file, unit.replace(installed, &here)).expect("a unit");
    let told = Command::new("systemd-analyze").arg("verify").arg(&file).output().expect("it runs");
    let said = String::from_utf8_lossy(&told.stderr);
    // It says there what it does not know of other units too; of ours there must be nothing.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("bursar.service")).collect();
    assert!(ours.is_empty() && (told.status.success() || said.is_empty()), "{said}");
}

/// The binary takes what the unit and the image tell it, but for the port, which may be taken.
#[tokio::test]
async fn the_unit_and_the_image_start_a_server_that_answers_and_stops() {
    let unit = packaged("bursar.service");
    let line = unit.lines().find_map(|l| l.strip_prefix("ExecStart=/usr/local/bin/bursar ")).expect("a command");
    let unit: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let image = packaged("Dockerfile");
    let cmd = image.lines().find_map(|l| l.strip_prefix("CMD ")).expect("a command");
    let image: Vec<String> = serde_json::from_str(cmd).expect("the form that needs no shell");
    for args in [unit, image] {
        assert_eq!(args[..2], ["serve", "--http"]);
        let world = World::new().await;
        token(&world, "scout", &[]).await;
        let address = args[2].replace(":8402", ":0");
        let mut door = Door::open_at(&world, &address, &args[3..].iter().map(String::as_str).collect::<Vec<_>>()).await;
        // The image's server goes by the name that clients outside use.
        let name = args.iter().skip_while(|a| *a != "--host").nth(1).cloned().unwrap_or_else(|| door.host());
        assert_eq!(door.get("/healthz", &[("host", &name)]).await.status, 200, "{args:?}");
        door.term();
        assert!(door.ended().await.success());
    }
}

/// The image is built from what is copied into it, and nothing that the sources take in may be missing there.
#[test]
fn the_image_is_built_from_all_that_the_sources_include() {
    let image = packaged("Dockerfile");
    let mut copied = Vec::new();
    for line in image.lines().filter_map(|l| l.strip_prefix("COPY ")).filter(|l| !l.starts_with("--from")) {
        let mut names: Vec<&str> = line.split(' ').collect();
        names.pop();
        copied.extend(names.into_iter().map(|name| root().join(name)));
    }
    assert!(copied.iter().all(|path| path.exists()), "{copied:?}");
    let ignored = fs::read_to_string(root().join(".dockerignore")).expect("it is there");
    assert!(ignored.lines().all(|l| !copied.contains(&root().join(l.trim_end_matches('/')))), "{ignored}");
    let mut included = 0;
    each_source(&root().join("src"), &mut |file, text| {
        for rest in text.split("include_").skip(1) {
            let Some((_, rest)) = rest.split_once("!(").filter(|(kind, _)| ["str", "bytes"].contains(kind)) else {
                continue;
            };
            let Some(name) = rest.trim_start().strip_prefix('"').and_then(|r| r.split('"').next()) else { continue };
            let path = file.parent().expect("a folder").join(name).canonicalize().expect("what is included is there");
            let there = copied.iter().any(|c| path.starts_with(c.canonicalize().expect("it is there")));
            assert!(there, "{} is not copied into the image", path.display());
            included += 1;
        }
    });
    assert!(included > 4, "{included}");
}

fn each_source(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            each_source(&path, look);
        } else if path.extension().is_some_and(|e| e == "rs") {
            look(&path, &fs::read_to_string(&path).expect("a source"));
        }
    }
}
