//! Opening the file: who may read it, which version it is, and whether SQLite really does what we asked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::LedgerError;

/// "BURS": says that the file is ours.
const APPLICATION_ID: i64 = 0x4255_5253;
/// The version this program writes. A newer file is refused: paying by half-understood books is not safe.
const VERSION: i64 = 3;
/// How long another process's write is waited for before we say that the ledger is busy, and pay nothing.
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);
const MIGRATIONS: [&str; VERSION as usize] = [
    include_str!("../../schemas/ledger-001.sql"),
    include_str!("../../schemas/ledger-002.sql"),
    include_str!("../../schemas/ledger-003.sql"),
];

/// The ledger's file within a home.
pub fn path(home: &Path) -> PathBuf {
    home.join("ledger.db")
}

/// Makes the home (0700) if it is not there, and refuses one that is a link or open to others and cannot be closed.
pub(crate) fn secure_home(home: &Path) -> Result<(), LedgerError> {
    let refused = |say: String| LedgerError::Refused(say);
    if !home.exists() {
        let mut make = fs::DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        make.create(home).map_err(|e| refused(format!("{} cannot be made: {e}", home.display())))?;
    }
    let meta = fs::metadata(home).map_err(|e| refused(format!("{} cannot be read: {e}", home.display())))?;
    if !meta.is_dir() {
        return Err(refused(format!("{} is not a directory", home.display())));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if meta.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(home, fs::Permissions::from_mode(0o700))
                .map_err(|e| refused(format!("{} is open to other users and cannot be closed: {e}", home.display())))?;
        }
    }
    Ok(())
}

/// Creates an empty file of mode 0600 unless there is one; refuses links.
fn secure_file(path: &Path) -> Result<(), LedgerError> {
    let refused = |say: String| LedgerError::Refused(say);
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => Err(refused(format!("{} is a link or not a file", path.display()))),
        Ok(_meta) => {
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                if _meta.permissions().mode() & 0o077 != 0 {
                    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|e| {
                        refused(format!("{} is open to other users and cannot be closed: {e}", path.display()))
                    })?;
                }
            }
            Ok(())
        }
        Err(_) => {
            let mut make = fs::OpenOptions::new();
            make.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut make, 0o600);
            match make.open(path) {
                Ok(_) => Ok(()),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                Err(e) => Err(refused(format!("{} cannot be made: {e}", path.display()))),
            }
        }
    }
}

/// Opens the ledger for writing, bringing it to our version.
pub(super) fn open(path: &Path, now_ms: u64) -> Result<Connection, LedgerError> {
    if let Some(home) = path.parent() {
        secure_home(home)?;
    }
    secure_file(path)?;
    // SQLite's own check for links covers the whole path, and many systems link the folders above a home elsewhere.
    let real = match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(home)), Some(name)) => home.join(name),
        _ => path.to_owned(),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(&real, flags)?;
    conn.busy_timeout(BUSY)?;
    // Before the first write, so that a file that is not ours stays as it is.
    version(&conn, path)?;
    become_wal(&conn)?;
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;
         PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA cell_size_check = ON;
         PRAGMA recursive_triggers = ON;",
    )?;
    for (pragma, want) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("trusted_schema", "0"),
        ("fullfsync", "1"),
        ("checkpoint_fullfsync", "1"),
        ("cell_size_check", "1"),
        ("recursive_triggers", "1"),
    ] {
        let got = read_pragma(&conn, pragma)?;
        if got != want {
            return Err(LedgerError::Refused(format!(
                "SQLite did not take {pragma}={want} (it says {got:?}), so the ledger could lose a payment; \
                 is {} on a network drive?",
                path.display()
            )));
        }
    }
    migrate(&conn, path, now_ms)?;
    Ok(conn)
}

/// Switches to the write-ahead log. Another process may be switching the same new file: SQLite answers BUSY then, without
/// waiting.
fn become_wal(conn: &Connection) -> rusqlite::Result<()> {
    let began = std::time::Instant::now();
    loop {
        match conn.execute_batch("PRAGMA journal_mode = WAL") {
            Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) && began.elapsed() < BUSY => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

/// Which version of a ledger the file is: 0 for an empty file.
fn version(conn: &Connection, path: &Path) -> Result<i64, LedgerError> {
    // One statement sees one moment: another process may be making the tables right now.
    let sql =
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
                      (SELECT count(*) FROM sqlite_schema)";
    let (id, version, tables): (i64, i64, i64) = conn.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    if id != APPLICATION_ID && !(id == 0 && version == 0 && tables == 0) {
        return Err(LedgerError::Refused(format!("{} is not a Bursar ledger", path.display())));
    }
    if version > VERSION {
        return Err(LedgerError::Refused(format!(
            "{} was written by a newer Bursar (version {version}, this one knows {VERSION}): nothing is paid; \
             update Bursar",
            path.display()
        )));
    }
    Ok(version)
}

/// The tables, indexes and triggers as our version writes them: name and SQL.
pub(super) fn pristine() -> rusqlite::Result<Vec<(String, String)>> {
    let conn = Connection::open_in_memory()?;
    for migration in MIGRATIONS {
        conn.execute_batch(migration)?;
    }
    parts(&conn)
}

/// The tables, indexes and triggers that a file has.
pub(super) fn parts(conn: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = conn.prepare("SELECT name, ifnull(sql, '') FROM sqlite_schema ORDER BY name")?;
    let parts = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    parts.collect()
}

fn read_pragma(conn: &Connection, pragma: &str) -> rusqlite::Result<String> {
    use rusqlite::types::Value;
    conn.query_row(&format!("PRAGMA {pragma}"), [], |row| {
        Ok(match row.get::<_, Value>(0)? {
            Value::Integer(i) => i.to_string(),
            Value::Text(t) => t,
            other => format!("{other:?}"),
        })
    })
}

fn migrate(conn: &Connection, path: &Path, now_ms: u64) -> Result<(), LedgerError> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let done = (|| {
        let version = version(conn, path)?;
        for (n, migration) in MIGRATIONS.iter().enumerate().skip(version as usize) {
            conn.execute_batch(migration)?;
            conn.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};", n + 1))?;
        }
        if version == 0 {
            conn.execute("INSERT INTO meta VALUES('created_ms', ?)", [now_ms.to_string()])?;
        }
        conn.execute_batch("COMMIT")?;
        Ok(())
    })();
    if done.is_err() && !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    done
}
