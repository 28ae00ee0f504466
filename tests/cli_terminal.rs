//! Commands as a person at a terminal sees them: words instead of JSON, and nothing secret on the screen.

#![cfg(unix)]

mod support;

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, process::ExitStatusExt},
    },
    path::Path,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use support::{Reply, Seller, World, money, seller::opens, token_for};

/// A terminal of 100 columns with one command in it.
struct Terminal {
    ours: File,
    /// Kept open, so that what was written is not lost with the command.
    theirs: File,
    child: Child,
    screen: String,
}

impl Terminal {
    fn run(envs: &[(String, String)], args: &[&str]) -> Terminal {
        let ours: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let name = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&theirs, Winsize { ws_row: 50, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let end = || theirs.try_clone().unwrap();
        let mut command = Command::new(support::host::binary());
        command.args(args).env_clear().envs(envs.iter().cloned()).stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        let ours = File::from(ours);
        rustix::io::ioctl_fionbio(&ours, true).unwrap();
        Terminal { ours, theirs, child, screen: String::new() }
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.theirs).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    fn look(&mut self) {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = self.ours.read(&mut bytes) {
            self.screen.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
    }

    fn until(&mut self, what: impl Fn(&Terminal) -> bool) {
        let began = Instant::now();
        while !what(self) {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", self.screen);
            std::thread::sleep(Duration::from_millis(10));
            self.look();
        }
    }

    fn end(mut self) -> (ExitStatus, String) {
        let began = Instant::now();
        let status = loop {
            self.look();
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > Duration::from_secs(20) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.look();
        assert!(self.echoes(), "the terminal was left silent");
        (status, self.screen.replace('\r', ""))
    }
}

fn home(dir: &Path) -> Vec<(String, String)> {
    vec![("BURSAR_HOME".into(), dir.join("home").display().to_string())]
}

#[test]
fn commands_speak_words_to_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let envs = home(dir.path());
    for (args, part) in [
        (&[][..], "Usage: bursar"),
        (&["doctor"], "warn  home"),
        (&["init"], "Everything in it is commented out"),
        (&["doctor"], "Fit to use; 1 to look at."),
        (&["wallet", "list"], "No wallet is set up: bursar wallet add nwc"),
        (&["audit"], "Nothing was ever spent"),
    ] {
        let (status, screen) = Terminal::run(&envs, args).end();
        assert!(status.success() && screen.contains(part), "{args:?}: {status} {screen}");
    }
}

#[test]
fn a_link_is_shown_as_a_square_too() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["wallet", "add", "nwc", "--relay", "ws://127.0.0.1:9", "--wait", "1"];
    let (status, screen) = Terminal::run(&home(dir.path()), &args).end();
    assert_eq!(status.code(), Some(1));
    assert!(screen.contains("nostr+walletauth://") && screen.contains("\u{2588}\u{2580}\u{2580}\u{2580}"), "{screen}");
    assert!(screen.contains("No relay can be reached right now"), "{screen}");
}

#[tokio::test]
async fn a_pasted_string_never_shows_on_the_screen() {
    let mut world = World::new().await;
    world.env("BURSAR_NWC", "");
    let (envs, string) = (world.envs(), world.sandbox.nwc_uri());
    let (status, screen) = tokio::task::spawn_blocking(move || {
        let mut terminal = Terminal::run(&envs, &["wallet", "add", "nwc", "--paste"]);
        terminal.until(|t| t.screen.contains("it is not shown") && !t.echoes());
        terminal.ours.write_all(format!("{}\n", string.expose()).as_bytes()).unwrap();
        terminal.end()
    })
    .await
    .unwrap();
    assert!(status.success() && screen.contains("The wallet answers and may pay"), "{screen}");
    assert!(!screen.contains("secret=") && !screen.contains("nostr+walletconnect"), "{screen}");
    let string = world.sandbox.nwc_uri();
    assert!(!screen.contains(string.expose().split("secret=").nth(1).unwrap()));
}

#[test]
fn an_interrupted_paste_leaves_the_terminal_and_the_home_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(&home(dir.path()), &["wallet", "add", "nwc", "--paste"]);
    terminal.until(|t| t.screen.contains("it is not shown") && !t.echoes());
    let pid = terminal.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let (status, _) = terminal.end();
    assert_eq!((status.code(), status.signal()), (Some(130), None));
    assert!(!dir.path().join("home").exists());
}

#[test]
fn a_person_types_the_passphrase_of_a_keystore_unseen_and_is_shown_the_address_as_a_square() {
    let dir = tempfile::tempdir().unwrap();
    let envs = home(dir.path());
    let type_it = |terminal: &mut Terminal, prompt: &str| {
        terminal.until(|t| t.screen.contains(prompt) && !t.echoes());
        terminal.ours.write_all(b"correct horse\n").unwrap();
    };
    let mut terminal = Terminal::run(&envs, &["wallet", "add", "evm", "--keystore"]);
    type_it(&mut terminal, "New passphrase (it is not shown)");
    type_it(&mut terminal, "The same again");
    let (status, added) = terminal.end();
    assert!(status.success() && added.contains("\u{2588}\u{2580}\u{2580}\u{2580}"), "{added}");
    assert!(added.contains("It pays with USDC on base") && added.contains("No ETH is needed"), "{added}");
    let address = added.split_whitespace().find(|word| word.starts_with("0x")).unwrap().to_lowercase();

    let mut terminal = Terminal::run(&envs, &["wallet", "test"]);
    type_it(&mut terminal, "evm.key (it is not shown)");
    let (status, tested) = terminal.end();
    assert!(status.success() && tested.contains(&format!("evm:{address}")), "{tested}");
    assert!(!(added + &tested).contains("horse"));
}

/// A terminal is shown no binary, so nobody has what was bought: the next equal call gets it, and pays nothing.
#[tokio::test]
async fn a_binary_answer_that_a_terminal_was_not_shown_does_not_count_as_handed_over() {
    let world = World::new().await;
    let bytes = [&[0x89, b'P', b'N', b'G', 0xff, 0][..], &[7; 500]].concat();
    let (node, sold) = (world.node().clone(), bytes.clone());
    let seller = Seller::start(move |hit| match hit.credential() {
        Some((_, preimage)) if opens(&node, &preimage) => {
            Reply::status(200, sold.clone()).header("content-type", "image/png")
        }
        _ => {
            let invoice = node.invoice(21_000, "a picture", 600).expect("an invoice");
            Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
        }
    })
    .await;
    let (envs, url) = (world.envs(), seller.url("/picture"));
    let args = url.clone();
    let fetch = move || Terminal::run(&envs, &["fetch", &args]).end();
    let (status, screen) = tokio::task::spawn_blocking(fetch).await.unwrap();
    assert!(status.success() && screen.contains("Paid 21 sat"), "{screen}");
    let id = money::purchases(&world).await[0].purchase.clone().expect("an id");
    assert!(screen.contains(&format!("bursar fetch -o FILE {id}")) && !screen.contains("PNG"), "{screen}");
    let answered = async || {
        let standing = world.ledger().find(id.parse().expect("an id")).await.expect("readable").expect("there");
        standing.answered_ms.is_some()
    };
    assert!(!answered().await, "nobody has it");
    let file = world.home().join("picture.png");
    let (code, _, said) = world.run(&["fetch", "-o", &file.display().to_string(), &url]).await;
    assert!(code == 0 && said.contains("Nothing was paid now"), "{said}");
    assert_eq!(std::fs::read(&file).expect("a file"), bytes);
    assert!(answered().await, "now somebody has");
    assert_eq!(world.spent_msat(), 21_000);
    world.verify_money().await;
}
