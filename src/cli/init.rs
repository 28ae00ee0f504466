//! `bursar init`: a config file to begin from.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use super::{
    Common, Done, Failure,
    show::{print_json, say},
};

/// Write a config.toml with every key in it, each at its default and commented out.
///
/// It changes nothing until you take a `#` away. A config.toml that is there is never touched.
#[derive(clap::Args)]
pub(super) struct InitArgs {
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: InitArgs) -> Done {
    let home = crate::config::home()?;
    let path = home.join("config.toml");
    crate::ledger::secure_home(&home)?;
    let mut make = OpenOptions::new();
    make.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut make, 0o600);
    let written = make.open(&path).and_then(|mut file| {
        file.write_all(template(&home).as_bytes())?;
        file.sync_all()
    });
    match written {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Failure::new(format!("there is one already, and it was not touched: {}", path.display())));
        }
        Err(e) => return Err(Failure::new(format!("{} cannot be written: {e}", path.display()))),
    }
    if args.common.json() {
        return print_json(&serde_json::json!({ "config": path }));
    }
    say(&format!(
        "{}\nEverything in it is commented out: the built-in limits hold until you change them.",
        path.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The file. A line that begins with `#` and no space is a key: taking the `#` away changes nothing at first.
fn template(home: &Path) -> String {
    let quoted = |name: &str| {
        let path = home.join(name).to_string_lossy().into_owned();
        // A JSON string is a TOML basic string, but for one character that no sane path has.
        serde_json::Value::String(path.replace('\u{7f}', "")).to_string()
    };
    TEMPLATE.replace("{nwc_file}", &quoted("wallet.nwc")).replace("{evm_key_file}", &quoted("evm.key"))
}

const TEMPLATE: &str = include_str!("config.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn keys(text: &str) -> String {
        let is_key = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_lowercase());
        let live = text.lines().map(|line| line.strip_prefix('#').filter(is_key).unwrap_or(line));
        live.map(|line| format!("{line}\n")).collect()
    }

    fn read(text: &str, home: &Path) -> Config {
        std::fs::write(home.join("config.toml"), text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(home.join("config.toml"), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        Config::without_wallet(home.to_owned()).unwrap()
    }

    #[test]
    fn every_key_in_the_file_is_real_and_stands_at_its_default() {
        let home = tempfile::tempdir().unwrap();
        let text = template(home.path());
        let live = keys(&text);
        assert_eq!(live.lines().filter(|l| l.contains(" = ") && !l.starts_with('#')).count(), 27, "{live}");
        let built_in = format!("{:?}", Config::built_in(home.path().to_owned()).unwrap());
        assert_eq!(format!("{:?}", read(&text, home.path())), built_in);
        let mut all = read(&live, home.path());
        assert!(all.http.extra_roots.take().is_some());
        assert_eq!(format!("{all:?}"), built_in);
    }

    #[test]
    fn every_key_of_the_schema_is_in_the_file() {
        fn names(schema: &serde_json::Value, found: &mut Vec<String>) {
            if let Some(properties) = schema["properties"].as_object() {
                found.extend(properties.keys().cloned());
            }
            match schema {
                serde_json::Value::Object(parts) => parts.values().for_each(|part| names(part, found)),
                serde_json::Value::Array(parts) => parts.iter().for_each(|part| names(part, found)),
                _ => {}
            }
        }
        let schema = serde_json::to_value(schemars::schema_for!(crate::config::ConfigFile)).unwrap();
        let mut found = Vec::new();
        names(&schema, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for name in found {
            assert!(TEMPLATE.contains(&name), "{name} is missing");
        }
    }
}
