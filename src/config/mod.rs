//! What the operator decides: one TOML file and a few environment variables. Nothing here can be written by a model.

mod evm;
mod file;
mod limits;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use evm::{EvmChain, EvmConfig, EvmKey, KeyFrom};
pub use file::ConfigFile;
use limits::cut;
pub use limits::{LimitTable, Limits};
use serde::Deserialize;

use crate::{
    money::{Amount, Currency},
    secret::{Secret, looks_secret},
};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long `fetch_paid` waits before it answers `pending`. At most 45 s.
    pub answer: Duration,
    /// How long the wallet's reply to a payment is waited for before the outcome counts as unknown.
    pub wallet: Duration,
    /// How long a question stands that a person is asked through the host. At most 300 s.
    pub person: Duration,
    /// How long open payments are waited for when the process ends. At most 10 s.
    pub exit: Duration,
    /// How long a "there is no such payment" must last before it is believed.
    pub absent: Duration,
    /// How long after the liability ended a "no" is still doubted.
    pub grace: Duration,
    /// How long sellers have to name their price in a live search, all together. Nobody sets it but tests.
    pub look: Duration,
}

impl Default for Waits {
    fn default() -> Waits {
        Waits {
            answer: Duration::from_secs(45),
            wallet: Duration::from_secs(60),
            person: Duration::from_secs(300),
            exit: Duration::from_secs(10),
            absent: Duration::from_secs(60),
            grace: Duration::from_secs(120),
            look: Duration::from_secs(10),
        }
    }
}

/// Whether a free tier that a seller names is tried before paying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum FreeTier {
    /// It is tried first.
    #[default]
    Prefer,
    /// It is not used.
    Never,
}

/// Everything the operator decided.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory of the ledger, the results and the wallet file.
    pub home: PathBuf,
    /// Ceilings and defaults.
    pub limits: LimitTable,
    /// Above these prices a person is asked first.
    pub approval_above: BTreeMap<Currency, Amount>,
    /// Whether free tiers are used.
    pub free: FreeTier,
    /// Hosts that may be paid; empty means any.
    pub allow_hosts: Vec<String>,
    /// Hosts that are never paid.
    pub deny_hosts: Vec<String>,
    /// The guarded client's settings.
    pub http: crate::http::Settings,
    /// The longest life of an invoice that is accepted, in seconds.
    pub max_invoice_life_s: u64,
    /// Deadlines.
    pub waits: Waits,
    /// The wallet's connection string, where there is one.
    pub nwc: Option<Secret>,
    /// Where a connection string is looked for.
    pub nwc_file: PathBuf,
    /// The wallet for stablecoins: its key where there is one, its chains and tokens.
    pub evm: EvmConfig,
    /// Whether a price that was paid a moment ago is paid again without asking first.
    pub known_prices: bool,
    /// Which currency is spent first where a seller takes several.
    pub currency_order: Vec<Currency>,
    /// Addresses of catalogues by name, beside and instead of the built-in ones; an empty one turns it off.
    pub catalogs: BTreeMap<String, String>,
    /// The session's key from the environment, or empty.
    pub session_key: String,
    /// What was written and does not hold, one sentence each: defaults that were cut to their ceiling.
    pub cut: Vec<String>,
}

/// Where a wallet's connection string was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalletFrom {
    /// The variable `BURSAR_NWC`.
    Environment,
    /// A file.
    File(PathBuf),
}

impl std::fmt::Display for WalletFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WalletFrom::Environment => f.write_str("BURSAR_NWC"),
            WalletFrom::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why the configuration cannot be used. Bursar pays nothing with a configuration it does not understand.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No home directory is known.
    #[error("no data folder is known on this system: set BURSAR_HOME to a directory of your own")]
    NoHome,
    /// A file could not be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The TOML is wrong.
    #[error("{path} is not understood, so nothing can be paid until it is mended: {say}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and why.
        say: String,
    },
    /// A file that holds or decides over money is open to others.
    #[error("{path} can be {what} by other users of this machine: run chmod {mode} {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// "read" or "changed".
        what: &'static str,
        /// The mode it should have.
        mode: &'static str,
    },
}

/// Why a config file could not be read, with the line's number and without the line: somebody may have put a secret
/// there.
fn misread(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().map_or(1, |span| text.as_bytes().iter().take(span.start).filter(|b| **b == b'\n').count() + 1);
    let said = error.message();
    if looks_secret(said) {
        return format!(
            "line {line} holds a wallet string, which does not belong there. Take it out, and run `bursar wallet add nwc --paste`"
        );
    }
    format!("line {line}: {}", without_values(said))
}

fn seconds(value: Option<f64>, default: Duration, most: Duration, name: &str) -> Result<Duration, String> {
    match value {
        None => Ok(default),
        Some(s) if s.is_finite() && s > 0.0 && s <= most.as_secs_f64() => Ok(Duration::from_secs_f64(s)),
        Some(s) => Err(format!("waits.{name}: {s} is not between 0 and {} seconds", most.as_secs())),
    }
}

impl Config {
    /// Finds the home (`BURSAR_HOME`, else the platform's data folder) and reads `config.toml` in it, if it is there.
    /// Creates nothing.
    ///
    /// # Errors
    /// A file that is not understood, or that others could read or change.
    pub fn load() -> Result<Config, ConfigError> {
        Config::load_from(home()?)
    }

    /// The same, for a given home.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_from(home: PathBuf) -> Result<Config, ConfigError> {
        let mut config = Config::without_wallet(home)?;
        config.nwc = match config.wallet_strings().into_iter().next() {
            Some((_, found)) => Some(found?),
            None => None,
        };
        config.evm.key = config.evm.keys().into_iter().next().transpose()?;
        Ok(config)
    }

    /// The same, without looking for a wallet: what sets one up or mends one must work while it is broken.
    ///
    /// # Errors
    /// As [`Config::load`], but for the wallet's file.
    pub fn without_wallet(home: PathBuf) -> Result<Config, ConfigError> {
        let path = home.join("config.toml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => {
                // Whoever may write into the home may replace what is in it.
                refuse_open(&home, 0o022, "changed", "700")?;
                refuse_open(&path, 0o022, "changed", "600")?;
                text
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        let wrong = |say: String| ConfigError::Wrong { path: path.clone(), say };
        let file: ConfigFile = toml::from_str(&text).map_err(|e| wrong(misread(&text, &e)))?;
        let mut config = Config::from_file(home, &file).map_err(|say| wrong(without_values(&say)))?;
        if env_flag("BURSAR_ALLOW_LOOPBACK") {
            config.http.allow_loopback = true;
        }
        config.session_key = ["BURSAR_SESSION", "CLAUDE_CODE_SESSION_ID"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
            .map(|v| v.chars().filter(|c| !c.is_control()).take(128).collect())
            .unwrap_or_default();
        Ok(config)
    }

    /// What holds where nothing is written: the built-in limits and deadlines, no wallet.
    ///
    /// # Errors
    /// None in practice: the built-in values are understood.
    pub fn built_in(home: PathBuf) -> Result<Config, ConfigError> {
        let path = home.join("config.toml");
        Config::from_file(home, &ConfigFile::default()).map_err(|say| ConfigError::Wrong { path, say })
    }

    /// The connection strings there are, each with its place, or why it cannot be read. The first is the one that counts.
    pub fn wallet_strings(&self) -> Vec<(WalletFrom, Result<Secret, ConfigError>)> {
        let mut found = Vec::new();
        if let Some(text) = std::env::var("BURSAR_NWC").ok().filter(|text| !text.trim().is_empty()) {
            found.push((WalletFrom::Environment, Ok(Secret::new(text.trim()))));
        }
        if let Some(read) = read_secret(&self.nwc_file).transpose() {
            found.push((WalletFrom::File(self.nwc_file.clone()), read));
        }
        found
    }

    /// Whether any wallet is set up.
    pub fn has_wallet(&self) -> bool {
        self.nwc.is_some() || self.evm.key.is_some()
    }

    fn from_file(home: PathBuf, file: &ConfigFile) -> Result<Config, String> {
        let mut approval_above = BTreeMap::new();
        for (code, text) in &file.approval.above {
            let amount = Currency::from_code(code).and_then(|c| Amount::parse_in(c, text).ok());
            let amount = amount.ok_or_else(|| format!("approval.above.{code}: {text:?} is not an amount"))?;
            approval_above.insert(amount.currency(), amount);
        }
        if file.wallet.nwc_file.as_ref().is_some_and(|path| looks_secret(&path.to_string_lossy())) {
            return Err(
                "wallet.nwc_file is the name of a file, and a wallet string stands there. Take it out, and run \
                        `bursar wallet add nwc --paste`"
                    .into(),
            );
        }
        let evm = EvmConfig::read(&home, &file.evm)?;
        let waits = Waits::default();
        let long = Duration::from_secs(3600);
        let w = &file.waits;
        Ok(Config {
            limits: LimitTable::read(&file.limits)?,
            approval_above,
            free: file.sellers.free,
            allow_hosts: file.sellers.allow.iter().map(|h| h.to_ascii_lowercase()).collect(),
            deny_hosts: file.sellers.deny.iter().map(|h| h.to_ascii_lowercase()).collect(),
            http: crate::http::Settings {
                allow_loopback: file.http.allow_loopback,
                extra_ports: file.http.extra_ports.clone(),
                extra_roots: file.http.extra_roots.clone(),
                allow_headers: file.http.allow_headers.clone(),
                ..Default::default()
            },
            max_invoice_life_s: file.wallet.max_invoice_life.unwrap_or(86_400),
            waits: Waits {
                answer: seconds(w.answer, waits.answer, waits.answer, "answer")?,
                wallet: seconds(w.wallet, waits.wallet, long, "wallet")?,
                person: seconds(w.person, waits.person, waits.person, "person")?,
                exit: seconds(w.exit, waits.exit, waits.exit, "exit")?,
                absent: seconds(w.absent, waits.absent, long, "absent")?,
                grace: seconds(w.grace, waits.grace, long, "grace")?,
                look: waits.look,
            },
            nwc: None,
            nwc_file: file.wallet.nwc_file.clone().unwrap_or_else(|| home.join("wallet.nwc")),
            evm,
            known_prices: file.sellers.known_prices.unwrap_or(true),
            currency_order: currency_order(&file.sellers.currencies)?,
            catalogs: file.catalog.sources.clone(),
            session_key: String::new(),
            cut: cut(&file.limits),
            home,
        })
    }
}

/// The operator's order of currencies; those that are not named come after, as Bursar lists them.
fn currency_order(named: &[String]) -> Result<Vec<Currency>, String> {
    let mut order = Vec::new();
    for code in named {
        let currency = Currency::from_code(code).ok_or_else(|| format!("sellers.currencies: {code:?} is unknown"))?;
        if !order.contains(&currency) {
            order.push(currency);
        }
    }
    order.extend(Currency::ALL.into_iter().filter(|c| !named.iter().any(|code| code == c.code())));
    Ok(order)
}

/// A sentence about the config without what the file says, where that could be a wallet string: a long word.
fn without_values(say: &str) -> String {
    let words = say.lines().next().unwrap_or_default().split(' ');
    let word = |word: &str| if word.chars().count() > 60 { "...".to_owned() } else { word.to_owned() };
    words.map(word).collect::<Vec<_>>().join(" ")
}

/// The home: `BURSAR_HOME`, else the platform's data folder.
///
/// # Errors
/// When neither is known.
pub fn home() -> Result<PathBuf, ConfigError> {
    if let Some(home) = std::env::var_os("BURSAR_HOME").filter(|h| !h.is_empty()) {
        return Ok(PathBuf::from(home));
    }
    directories::ProjectDirs::from("", "", "bursar").map(|d| d.data_dir().to_owned()).ok_or(ConfigError::NoHome)
}

fn env_flag(name: &str) -> bool {
    std::env::var(name).is_ok_and(|v| v == "1" || v == "true")
}

fn read_secret(path: &Path) -> Result<Option<Secret>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            refuse_open(path, 0o077, "read", "600")?;
            let text = text.trim();
            Ok((!text.is_empty()).then(|| Secret::new(text)))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
    }
}

/// Refuses a file whose mode has one of `bits`: what decides over money must not be open to other users.
#[cfg(unix)]
fn refuse_open(path: &Path, bits: u32, what: &'static str, mode: &'static str) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    if meta.permissions().mode() & bits != 0 {
        return Err(ConfigError::Open { path: path.to_owned(), what, mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_open(_: &Path, _: u32, _: &'static str, _: &'static str) -> Result<(), ConfigError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let file: ConfigFile = toml::from_str(text).map_err(|e| e.to_string())?;
        Config::from_file(PathBuf::from("/nowhere"), &file)
    }

    #[test]
    fn no_config_file_means_the_limits_of_the_contracts() {
        let config = read("").unwrap();
        let sat = |l: &Limits| [l.purchase, l.session, l.day].map(|a| a.to_string());
        assert_eq!(sat(&config.limits.ceiling[&Currency::Sat]), ["5000 sat", "20000 sat", "50000 sat"]);
        assert_eq!(sat(&config.limits.default[&Currency::Usd]), ["1 usd", "5 usd", "10 usd"]);
        assert!(!config.limits.ceiling.contains_key(&Currency::Eurc));
    }

    #[test]
    fn a_default_never_exceeds_its_ceiling() {
        let config = read("[limits.ceiling]\nsat = { purchase = \"50\", session = \"100\", day = \"100\" }").unwrap();
        assert_eq!(config.limits.default[&Currency::Sat].purchase.to_string(), "50 sat");
        assert!(!config.limits.ceiling.contains_key(&Currency::Usd), "a written table replaces the built-in one");
    }

    #[test]
    fn a_mistyped_key_amount_or_currency_is_an_error_not_a_default() {
        for text in [
            "[limits.ceilling]\nsat = { purchase = \"1\" }",
            "[limits.ceiling]\nsats = { purchase = \"1\", session = \"1\", day = \"1\" }",
            "[limits.ceiling]\nsat = { purchase = \"1.2345\", session = \"1\", day = \"1\" }",
            "[limits.ceiling]\nsat = { purchase = \"-1\" }",
            "[approval]\nabove = { sat = \"lots\" }",
            "[waits]\nanswer = 46",
            "[waits]\nperson = 301",
            "[http]\nallow_loopbak = true",
        ] {
            assert!(read(text).is_err(), "accepted: {text}");
        }
    }
}
