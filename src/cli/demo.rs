use std::{io::IsTerminal, process::ExitCode, process::Stdio, time::Instant};

use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult, ContentBlock},
    service::RunningService,
};
use serde_json::{Value, json};

use super::{Done, Failure, show};
use crate::{
    clock::Clock,
    config::LimitTable,
    ledger::Ledger,
    money::{Amount, Currency},
    report::{About, Report},
    sandbox::{Sandbox, SandboxOptions},
};

/// Plays the whole story on this machine: paid APIs, a free tier, two currencies, a limit, a refusal, the audit.
#[derive(clap::Args, Default)]
pub(super) struct DemoArgs {
    /// Keep the demo's home afterwards and say where it is
    #[arg(long)]
    keep: bool,
}

/// The task of the story, as a person would put it.
const TASK: &str = "podcasts where small business owners discuss payment processing challenges";

/// Ink for a terminal; none for a pipe.
struct Ink {
    on: bool,
}

impl Ink {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// The story as it is told: numbered scenes, the agent's calls, what the model reads.
struct Story {
    ink: Ink,
    scene: u32,
    server: RunningService<RoleClient, ()>,
}

pub(super) async fn run(args: DemoArgs) -> Done {
    let begun = Instant::now();
    let dir =
        std::env::temp_dir().join(format!("bursar-demo-{}", data_encoding::HEXLOWER.encode(&crate::random::<6>())));
    crate::ledger::secure_home(&dir)?;
    let played = play(&dir, begun).await;
    if args.keep {
        show::say(&format!("\nThe demo's home is {}: try BURSAR_HOME={} bursar audit", dir.display(), dir.display()))?;
    } else {
        let _ = std::fs::remove_dir_all(&dir);
    }
    played
}

async fn play(home: &std::path::Path, begun: Instant) -> Done {
    let sandbox = Sandbox::start(SandboxOptions { balance_sat: 2_000, ..SandboxOptions::default() })
        .await
        .map_err(|e| Failure::new(e.to_string()))?;
    let ink = Ink { on: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };
    show::print(&format!(
        "{}\nPlay money on this machine: no wallet, no account, no network. Below, an agent speaks with the real Bursar \
         server\nover MCP. The relay, the wallet and the paid APIs are small, but their protocols are real.\n",
        ink.bold("Bursar: the purse you hand to your AI agent")
    ))?;

    // The real server, as a host would start it, with a wallet for each currency.
    super::sandbox::write_config(home, &sandbox.rpc_url())?;
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .arg("serve")
        .env("BURSAR_HOME", home)
        .env("BURSAR_NWC", sandbox.nwc_uri().expose())
        .env("BURSAR_EVM_KEY", sandbox.evm_key().expose())
        .env("BURSAR_ALLOW_LOOPBACK", "1")
        .env("BURSAR_SESSION", "demo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(stdout), Some(stdin)) = (child.stdout.take(), child.stdin.take()) else {
        return Err(Failure::new("the server has no pipes"));
    };
    let server = ().serve((stdout, stdin)).await?;
    let mut story = Story { ink, scene: 0, server };

    let rates = format!("{}/v1/rates", sandbox.aperture_url());
    let podcasts = format!("{}/api/discover-podcasts", sandbox.jamie_url());
    let quotes = format!("{}/api/search-quotes", sandbox.jamie_url());

    story
        .scene("An address that wants to be paid", "What does it cost, and can this wallet pay it? Looking is free.")?;
    story.call("discover_api", json!({ "url": rates })).await?;

    story.scene("The person's task", &format!("\"Find {TASK}.\" First only the price."))?;
    story.call("fetch_paid", json!({ "url": podcasts, "json": { "query": TASK }, "dry_run": true })).await?;

    story.scene("Free before paid", "The seller has a free tier, so Bursar uses that first.")?;
    let found = story.call("fetch_paid", json!({ "url": podcasts, "json": { "query": TASK } })).await?;
    story.podcasts(&found)?;

    story.scene(
        "Buying",
        "The agent wants the exact quotes. The free tier of this endpoint ends after two questions.",
    )?;
    for query in ["card fees", "chargebacks"] {
        story.quiet("fetch_paid", json!({ "url": quotes, "json": { "query": query, "limit": 1 } })).await?;
    }
    let ask = json!({ "url": quotes, "json": { "query": TASK, "limit": 3 }, "max_price": "50 sat", "purpose": TASK });
    let bought = story.call("fetch_paid", ask.clone()).await?;
    story.quotes(&bought)?;

    story.scene("Again, without paying", "The same question later: the token it bought opens the door.")?;
    story.call("fetch_paid", ask).await?;

    story.scene("Another dialect", "This seller speaks MPP. It is the same wallet, inside the same budget.")?;
    let ask = json!({ "url": format!("{}/rates", sandbox.mpp_url()), "purpose": "one more answer" });
    story.call("fetch_paid", ask).await?;

    story.scene("A limit", "The model may tighten its own limits, and only a person can loosen them.")?;
    story.call("set_budget", json!({ "scope": "purchase", "limit": "15 sat" })).await?;
    story.call("fetch_paid", json!({ "url": rates, "purpose": "exchange rates" })).await?;
    story.call("set_budget", json!({ "scope": "purchase", "limit": "4000 sat" })).await?;

    story.dollars(&sandbox.ntriq_url()).await?;

    story.scene("The books", "What the person reads afterwards: bursar audit")?;
    story.server.cancel().await?;
    let _ = tokio::time::timeout(std::time::Duration::from_secs(15), child.wait()).await;
    let ledger = Ledger::open(home, LimitTable::default(), Clock::system())?;
    let about = About { principal: "local".into(), session_key: "demo".into(), ..About::default() };
    let report = Report::read(&ledger, &about, Clock::system().now_ms()).await?;
    show::print(&report.to_table(100))?;
    let verified = ledger.verify().await?;
    let agrees = agreement(&sandbox, &report)?;
    show::print(&format!(
        "Its {} lines are {}.\n",
        verified.lines,
        if verified.findings.is_empty() { "as they were written" } else { "NOT as they were written" }
    ))?;
    show::print(&format!(
        "\n{} in {:.1} s. Next: the README shows how to plug Bursar into Claude, Cursor or VS Code with a wallet of your \
         own;\n`bursar sandbox` keeps this world running so that you can try your own host in it.\n",
        story.ink.bold("That was all of it"),
        begun.elapsed().as_secs_f64()
    ))?;
    Ok(if agrees && verified.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what the wallet and the chain saw leave, and whether the ledger says the same.
fn agreement(sandbox: &Sandbox, report: &Report) -> Result<bool, Failure> {
    let msat: u64 = sandbox.node().moved().iter().map(|m| m.amount_msat + m.fee_msat).sum();
    let units = sandbox.chain().spent_by(&sandbox.evm_address());
    let seen = |currency, atomic| Amount::new(currency, atomic).unwrap_or(Amount::zero(currency));
    let (sats, dollars) = (seen(Currency::Sat, msat), seen(Currency::Usd, units));
    let agrees = [sats, dollars].iter().all(|seen| {
        let written = report.totals.money.iter().find(|m| m.spent.currency() == seen.currency());
        written.map_or(seen.is_zero(), |m| m.spent == *seen)
    });
    show::print(&format!(
        "\nThe wallet says that {sats} left it, the chain says {dollars}. The ledger {}. ",
        if agrees { "agrees with both" } else { "DISAGREES" }
    ))?;
    Ok(agrees)
}

impl Story {
    fn scene(&mut self, title: &str, lead: &str) -> Done {
        self.scene += 1;
        show::print(&format!("\n{} {}\n  {}\n", self.ink.bold(&format!("{}.", self.scene)), self.ink.bold(title), lead))
    }

    /// Calls a tool and shows the call and what the model reads of it first.
    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, Failure> {
        show::print(&format!("\n  {} {tool} {}\n", self.ink.paint("36", "▸"), self.ink.dim(&short(&arguments))))?;
        let result = self.quiet(tool, arguments).await?;
        let first = result.content.iter().find_map(ContentBlock::as_text).map(|t| t.text.clone()).unwrap_or_default();
        let mark =
            if result.is_error == Some(true) { self.ink.paint("33", "│") } else { self.ink.paint("32", "│") };
        let mut shown = String::new();
        for line in first.lines().flat_map(|l| wrap(&show::plain(l), 96)) {
            shown.push_str(&format!("  {mark} {line}\n"));
        }
        show::print(&shown)?;
        Ok(result.structured_content.unwrap_or_default())
    }

    async fn quiet(&self, tool: &str, arguments: Value) -> Result<CallToolResult, Failure> {
        let params = CallToolRequestParams::new(tool.to_owned());
        let params = params.with_arguments(arguments.as_object().cloned().unwrap_or_default());
        Ok(self.server.call_tool(params).await?)
    }

    /// Another seller, who takes USDC, and whose words do not tell what is dear.
    async fn dollars(&mut self, seller: &str) -> Done {
        self.scene(
            "Dollars",
            "Another seller takes USDC on a chain (x402). Two of its services sound alike; its own list says:",
        )?;
        let (single, batch) = ("/sentiment", "/sentiment-batch");
        let listed = self.quiet("fetch_paid", json!({ "url": format!("{seller}/services") })).await?;
        let listed = answer(&listed.structured_content.unwrap_or_default());
        let mut shown = String::new();
        for service in listed["services"].as_array().into_iter().flatten() {
            let text = |key: &str| show::plain(service[key].as_str().unwrap_or("?"));
            if [single, batch].contains(&text("path").as_str()) {
                let path = format!("{:<17}", text("path"));
                shown.push_str(&format!("    {path} {:>6}  {}\n", text("price"), self.ink.dim(&text("description"))));
            }
        }
        show::print(&shown)?;
        let text = "I love how quickly they paid me out";
        let ask = json!({ "url": format!("{seller}{batch}"), "json": { "items": [{ "text": text }] } });
        self.call("fetch_paid", ask).await?;
        let ask =
            json!({ "url": format!("{seller}{single}"), "json": { "text": text }, "purpose": "how a quote sounds" });
        let bought = answer(&self.call("fetch_paid", ask).await?);
        let said = show::plain(bought["summary"].as_str().unwrap_or("?"));
        show::print(&format!("    “{text}”: {}\n", self.ink.dim(&said)))
    }

    fn podcasts(&self, facts: &Value) -> Done {
        let answer = answer(facts);
        let mut shown = String::new();
        for show in answer["results"].as_array().into_iter().flatten().take(3) {
            let title = show["title"].as_str().unwrap_or("?");
            shown.push_str(&format!("    {} {title}\n", self.ink.dim("·")));
            for episode in show["matchedEpisodes"].as_array().into_iter().flatten().take(1) {
                shown.push_str(&format!("      {}\n", episode["title"].as_str().unwrap_or("?")));
            }
        }
        show::print(&shown)
    }

    fn quotes(&self, facts: &Value) -> Done {
        let answer = answer(facts);
        let mut shown = String::new();
        for hit in answer["results"].as_array().into_iter().flatten().take(2) {
            let quote = show::plain(&format!("“{}”", hit["quote"].as_str().unwrap_or("?")));
            for line in wrap(&quote, 92) {
                shown.push_str(&format!("    {line}\n"));
            }
            let from =
                format!("{}, {}", hit["creator"].as_str().unwrap_or("?"), hit["episode"].as_str().unwrap_or("?"));
            shown.push_str(&format!("      {}\n", self.ink.dim(&show::plain(&from))));
        }
        show::print(&shown)
    }
}

/// The seller's JSON out of a tool's facts.
fn answer(facts: &Value) -> Value {
    let text = facts["result"]["text_unverified"].as_str().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

/// Arguments on one line.
fn short(arguments: &Value) -> String {
    let text = arguments.to_string();
    match text.char_indices().nth(150) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Breaks a line between words.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last().map_or(0, |l| l.chars().count());
        if last > 0 && last + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(current) = lines.last_mut() {
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
    }
    lines
}
