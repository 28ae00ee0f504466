//! Everything that a run of Bursar left behind, and where a secret stands in it.

use std::{fs, path::Path};

use crate::support::Host;

/// Everything that was written, with where it was written.
#[derive(Default)]
pub struct Written(Vec<(String, Vec<u8>)>);

impl Written {
    pub fn note(&mut self, place: &str, text: impl Into<Vec<u8>>) {
        self.0.push((place.into(), text.into()));
    }

    pub fn host(&mut self, place: &str, host: &Host) {
        self.note(&format!("{place}: standard output"), host.lines.lock().unwrap().join("\n"));
        self.note(&format!("{place}: standard error"), host.log.lock().unwrap().clone());
        self.process(place, host.child.id().expect("it runs"));
    }

    /// What anybody on the machine can see of a process.
    pub fn process(&mut self, place: &str, pid: u32) {
        for name in ["cmdline", "comm"] {
            self.note(&format!("{place}: {name}"), fs::read(format!("/proc/{pid}/{name}")).unwrap());
        }
        assert!(children(pid).is_empty(), "it starts nobody");
    }

    /// Notes every file below a folder but the ledger's own, and every column of the ledger but the four secret ones.
    pub fn home(&mut self, home: &Path) {
        for entry in fs::read_dir(home).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            match path.is_dir() {
                true => self.home(&path),
                false if name.starts_with("ledger.db") => {}
                false => self.note(&name, fs::read(&path).unwrap()),
            }
        }
        if home.join("ledger.db").exists() {
            self.ledger(&home.join("ledger.db"));
        }
    }

    fn ledger(&mut self, path: &Path) {
        const SECRET: [&str; 4] = ["intent.bytes", "intent.proof", "credential.body", "credential.proof"];
        let db = rusqlite::Connection::open(path).unwrap();
        let mut tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let tables: Vec<String> = tables.query_map([], |r| r.get(0)).unwrap().flatten().collect();
        for table in tables {
            let mut all = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let names: Vec<String> = all.column_names().map(|n| format!("{table}.{n}")).collect();
            let mut rows = all.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for (n, name) in names.iter().enumerate().filter(|(_, name)| !SECRET.contains(&name.as_str())) {
                    let value: rusqlite::types::Value = row.get(n).unwrap();
                    match value {
                        rusqlite::types::Value::Text(text) => self.note(name, text),
                        rusqlite::types::Value::Blob(bytes) => self.note(name, bytes),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Fails where one of the secrets stands.
    pub fn holds_none(&self, secrets: &[String]) {
        assert!(!secrets.is_empty() && secrets.iter().all(|s| s.len() >= 20), "these are no canaries");
        for (place, bytes) in &self.0 {
            let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
            for secret in secrets {
                if let Some(at) = text.find(&secret.to_ascii_lowercase()) {
                    let from = text[..at].char_indices().rev().nth(80).map_or(0, |(i, _)| i);
                    panic!("{place} holds a secret: ...{}<secret>", &text[from..at]);
                }
            }
        }
    }
}

fn children(pid: u32) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let parent = |path: &Path| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok())
    };
    entries.map(|e| e.path()).filter(|p| parent(p) == Some(pid)).map(|p| p.display().to_string()).collect()
}
