use std::{io::Write, process::ExitCode};

use serde::Serialize;
use serde_json::json;

use super::{Common, Done, Failure, show};
use crate::{
    catalog::{
        index::{Index, volume},
        refresh::{Patience, Refreshed, Source, Turn, kept, refresh, sources},
    },
    clock::Clock,
    config::{Config, home},
    http::Client,
    report::time::iso,
};

/// Shows what the index of paid APIs is made of, or fetches fresh catalogues. Searching needs neither: a catalogue comes
/// with the program.
#[derive(clap::Args)]
pub(super) struct CatalogArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Show the catalogues, how old they are, and what was left out of them
    Status,
    /// Fetch catalogues anew, one after the other, without a key and without paying
    Refresh {
        /// Which ones (all that are not turned off, unless named)
        names: Vec<String>,
    },
}

/// One catalogue that can be fetched, as it stands.
#[derive(Serialize)]
struct Row {
    name: String,
    url: String,
    fetched: Option<String>,
    outcome: String,
}

pub(super) async fn run(args: CatalogArgs) -> Done {
    let config = Config::without_wallet(home()?)?;
    let known = sources(&config.catalogs);
    match args.action.unwrap_or(Action::Status) {
        Action::Status => status(&config, &known, args.common.json()),
        Action::Refresh { names } => fetch(&config, &known, &names, args.common.json()).await,
    }
}

fn fetched(config: &Config, source: &Source) -> Option<String> {
    kept(&config.home, &source.name).map(|header| iso(i64::try_from(header.fetched_ms).unwrap_or(i64::MAX)))
}

fn status(config: &Config, known: &[Source], json: bool) -> Done {
    let index = Index::open(&config.home)?;
    let (parts, dropped) = (index.sources()?, index.dropped()?);
    let size = std::fs::metadata(volume::folder(&config.home).join("index.db")).map_or(0, |m| m.len());
    let entries: u64 = parts.iter().map(|p| p.entries).sum();
    let row = |s: &Source| {
        let at = fetched(config, s);
        let outcome = if at.is_some() { "kept" } else { "never fetched" };
        Row { name: s.name.clone(), url: s.url.clone(), fetched: at, outcome: outcome.into() }
    };
    let rows: Vec<Row> = known.iter().map(row).collect();
    if json {
        let part = |p: &crate::catalog::index::SourceRow| json!({ "catalog": p.catalog, "source": p.name, "as_of": p.as_of, "entries": p.entries });
        let parts: Vec<_> = parts.iter().map(part).collect();
        show::print_json(
            &json!({ "entries": entries, "bytes": size, "parts": parts, "left_out": dropped, "catalogs": rows }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = vec![format!("{entries} listings in {} KiB.", size / 1024)];
    lines.extend(parts.iter().map(|p| format!("  {:<10} {:<22} {}  {}", p.catalog, p.name, p.as_of, p.entries)));
    let left: Vec<String> = dropped.iter().map(|(why, n)| format!("{n} {}", why.replace('_', " "))).collect();
    if !left.is_empty() {
        lines.push(format!("Left out: {}.", left.join(", ")));
    }
    lines.push("Catalogues that can be fetched (`bursar catalog refresh`):".into());
    for row in rows {
        lines.push(format!("  {:<10} {}  {}", row.name, row.fetched.unwrap_or_else(|| row.outcome.clone()), row.url));
    }
    show::say(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn fetch(config: &Config, known: &[Source], names: &[String], json: bool) -> Done {
    if let Some(name) = names.iter().find(|name| !known.iter().any(|s| s.name == **name)) {
        let all: Vec<&str> = known.iter().map(|s| s.name.as_str()).collect();
        return Err(Failure::new(format!("there is no catalogue {name:?}; there are {}", all.join(", "))));
    }
    let Some(_turn) = Turn::take(&config.home)? else {
        return Err(Failure::new("another bursar is fetching catalogues right now"));
    };
    let (http, clock) = (Client::new(config.http.clone()), Clock::system());
    let mut rows = Vec::new();
    let mut bad = false;
    for source in known.iter().filter(|s| names.is_empty() || names.contains(&s.name)) {
        let mut err = std::io::stderr();
        let _ = writeln!(err, "{}: asking {}", source.name, source.url);
        let tell = |rows: usize| {
            let _ = writeln!(std::io::stderr(), "{}: {rows} rows so far", source.name);
        };
        let outcome = match refresh(&http, &config.home, source, clock.now_ms(), Patience::default(), &tell).await {
            Ok(Refreshed::Fresh { listings, dropped, cut }) => {
                let cut = cut.map(|why| format!("; it is not all: {why}")).unwrap_or_default();
                format!("{listings} listings, {} left out{cut}", dropped.values().sum::<usize>())
            }
            Ok(Refreshed::Same) => "nothing has changed".into(),
            Err(why) => {
                bad = true;
                let stays = if fetched(config, source).is_some() { "; what is kept stays" } else { "" };
                format!("not fetched: {}{stays}", why.trim_end_matches('.'))
            }
        };
        let _ = writeln!(err, "{}: {outcome}", source.name);
        rows.push(Row {
            name: source.name.clone(),
            url: source.url.clone(),
            fetched: fetched(config, source),
            outcome,
        });
    }
    // The next search need not wait for it.
    let index = Index::open(&config.home)?;
    let entries: u64 = index.sources()?.iter().map(|p| p.entries).sum();
    if json {
        show::print_json(&json!({ "entries": entries, "catalogs": rows }))?;
    } else {
        show::say(&format!("{entries} listings are searched now."))?;
    }
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
