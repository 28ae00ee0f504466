//! Servers killed at random moments over a random mix of calls and wallet moods, and the books after each kill.
//!
//! `BURSAR_TEST_SEED` repeats a run, `BURSAR_TEST_KILLS` makes it longer.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use bursar::sandbox::{Behaviour, Money, PlayNode, ReplySaid};
use serde_json::json;
use support::{Naive, Reply, Seller, World, money, seller::opens, seller::token_for};

const PRICE: u64 = 21_000;
const PATHS: u64 = 400;
const ROOM: &str = "[limits.ceiling]\nsat = { purchase = \"100\", session = \"1000000\", day = \"1000000\" }\n\
                    [limits.default]\nsat = { purchase = \"100\", session = \"1000000\", day = \"1000000\" }\n\
                    [waits]\nwallet = 0.25\nanswer = 2\nabsent = 0.5\ngrace = 1\n";

/// A small generator: the same seed, the same script.
struct Dice(u64);

impl Dice {
    fn seeded() -> Dice {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_nanos() as u64;
        let seed = std::env::var("BURSAR_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(now);
        println!("BURSAR_TEST_SEED={seed}");
        Dice(seed | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// 80 % pay and say so, 8 % lose the answer, 5 % report an error and pay later, 7 % honestly refuse.
fn mood(dice: &mut Dice) -> Behaviour {
    let wait = dice.below(40);
    let mood = match dice.below(100) {
        0..80 => Behaviour::honest(),
        80..88 => Behaviour::lost_reply(),
        88..93 => Behaviour::lies("PAYMENT_FAILED", Money::SettlesAfter(dice.below(400))),
        _ => {
            Behaviour { money: Money::Never, reply: ReplySaid::Error("QUOTA_EXCEEDED".into()), ..Behaviour::default() }
        }
    };
    Behaviour { before_ms: wait, reply_after_ms: dice.below(30), ..mood }
}

/// Which invoice was for which path.
type Sold = Arc<Mutex<HashMap<String, String>>>;

/// How long invoices live: what was refused just when its server died counts as failed only after that.
const LIFE_S: u64 = 24;

/// Honest sellers of single paths, on hosts of their own where the system has more than one loopback address: a few
/// payments of unknown outcome are all that is risked at one host.
struct Shops {
    sellers: Vec<Seller>,
    sold: Sold,
}

impl Shops {
    async fn open(node: &PlayNode) -> Shops {
        let sold = Sold::default();
        let tokens = Arc::new(Mutex::new(HashMap::<String, String>::new()));
        let mut sellers = Vec::new();
        for n in 0..if cfg!(target_os = "linux") { 24 } else { 1 } {
            let (node, tokens, sold) = (node.clone(), tokens.clone(), sold.clone());
            let script = move |hit: &support::Hit| {
                let mut tokens = tokens.lock().unwrap();
                let path = hit.uri.path().to_owned();
                match hit.credential() {
                    Some((token, preimage)) if tokens.get(&token) == Some(&path) && opens(&node, &preimage) => {
                        Reply::ok(format!("data of {path}"))
                    }
                    _ => {
                        let invoice = node.invoice(PRICE, "torture", LIFE_S).expect("an invoice");
                        let token = token_for(&invoice.payment_hash);
                        tokens.insert(token.clone(), path.clone());
                        sold.lock().unwrap().insert(invoice.payment_hash, path);
                        Reply::l402(&token, &invoice.bolt11)
                    }
                }
            };
            sellers.push(Seller::start_at([127, 0, 0, 1 + n], script).await);
        }
        Shops { sellers, sold }
    }

    fn url(&self, n: u64) -> String {
        self.sellers[n as usize % self.sellers.len()].url(&format!("/{n}"))
    }
}

/// How often each path was really paid for.
fn paid_paths(world: &World, sold: &Sold) -> BTreeMap<String, usize> {
    let sold = sold.lock().unwrap();
    let mut paid = BTreeMap::new();
    for moved in world.node().moved() {
        *paid.entry(sold[&moved.hash].clone()).or_default() += 1;
    }
    paid
}

/// I9 and its like, on the file itself: every msat that left has its row, none of them in a purchase that claims that
/// nothing left, and no request was paid twice.
fn check_books(world: &World, sold: &Sold, when: &str) {
    let moved = world.node().moved();
    let file = bursar::ledger::file(&world.home());
    let books = rusqlite::Connection::open(file).expect("the ledger opens");
    let mut rows =
        books.prepare("SELECT i.rail_key, p.state FROM intent i JOIN purchase p USING(purchase_id)").unwrap();
    let rows = rows.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))).unwrap();
    let rows: HashMap<String, String> = rows.map(Result::unwrap).collect();
    for one in &moved {
        match rows.get(&format!("ln:{}", one.hash)).map(String::as_str) {
            None => panic!("{when}: {} left the wallet and the ledger knows nothing of it", one.hash),
            Some("failed" | "awaiting_approval") => panic!("{when}: {} left and counts as not paid", one.hash),
            Some(_) => {}
        }
    }
    let twice: Vec<_> = paid_paths(world, sold).into_iter().filter(|(_, n)| *n > 1).collect();
    assert!(twice.is_empty(), "{when}: paid more than once: {twice:?}");
}

/// A34 to A36 together: whatever the moment, nothing is lost, nothing is paid twice, and the books hold.
#[tokio::test]
async fn servers_killed_at_random_moments_lose_nothing_and_pay_nothing_twice() {
    let mut dice = Dice::seeded();
    let kills: u64 = std::env::var("BURSAR_TEST_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(70);
    let world = World::with(ROOM).await;
    let shops = Shops::open(world.node()).await;
    for _ in 0..kills * 10 {
        world.wallet().next(mood(&mut dice));
    }
    let (mut killed, mut asked) = (0, 0);
    while killed < kills {
        let hosts = if dice.below(3) == 0 {
            let (a, b) = tokio::join!(world.host(), world.host());
            vec![a, b]
        } else {
            vec![world.host().await]
        };
        let mut answers = Vec::new();
        for _ in 0..1 + dice.below(10) {
            // Half of the calls repeat earlier ones, so that what was interrupted is met again.
            let path = if asked == 0 || dice.below(2) == 0 {
                asked = (asked + 1) % PATHS;
                asked
            } else {
                1 + dice.below(asked)
            };
            let host = &hosts[dice.below(hosts.len() as u64) as usize];
            answers.push(host.begin_call("fetch_paid", json!({ "url": shops.url(path) })).await.1);
        }
        // The moment is the point: anywhere from before the first byte to after the last answer.
        tokio::time::sleep(Duration::from_millis(dice.below(250))).await;
        for host in hosts {
            host.kill().await;
            killed += 1;
        }
        world.verify().await;
        check_books(&world, &shops.sold, &format!("after {killed} kills"));
    }
    // Everything that was begun is brought to an end by equal calls; new servers ask the wallet at once.
    let calm = Instant::now();
    let mut open: BTreeSet<u64> = (1..=asked).collect();
    let mut host = world.host().await;
    while !open.is_empty() {
        for path in open.clone() {
            let told = host.fetch(json!({ "url": shops.url(path) })).await;
            if told.text().contains(&format!("data of /{path}")) {
                open.remove(&path);
            } else if calm.elapsed() > Duration::from_secs(120) {
                panic!("{path} has no end: {}", told.text());
            }
        }
        host.kill().await;
        host = world.host().await;
    }
    check_books(&world, &shops.sold, "at the end");
    assert!(host.close().await.success());
    let states = money::states(&world).await;
    assert!(states.iter().all(|s| matches!(s.as_str(), "delivered" | "failed")), "{states:?}");
    let paid = paid_paths(&world, &shops.sold);
    assert_eq!(paid.len() as u64, asked, "each path was paid for once");
    println!("{killed} kills, {} payments, {} purchases", world.node().moved().len(), states.len());
    world.verify_money().await;
}

/// Negative control: the same moods and the same kills cost a buyer without a ledger money, so that the checks above
/// would see it.
#[tokio::test]
async fn control_a_naive_buyer_under_the_same_torture_pays_twice() {
    let mut dice = Dice::seeded();
    let world = World::with(ROOM).await;
    let shops = Shops::open(world.node()).await;
    for round in 0..400 {
        let naive = Naive::new(&world, Duration::from_millis(250), u64::MAX);
        let urls: Vec<String> = (0..3).map(|_| shops.url(dice.below(4))).collect();
        for _ in 0..3 {
            world.wallet().next(mood(&mut dice));
        }
        let task = tokio::spawn(async move {
            for url in urls {
                naive.fetch(&url).await;
            }
        });
        tokio::time::sleep(Duration::from_millis(dice.below(120))).await;
        task.abort();
        if paid_paths(&world, &shops.sold).values().any(|n| *n > 1) {
            println!("paid twice in round {round}");
            return;
        }
    }
    panic!("this script costs even a careless buyer nothing: it proves nothing");
}
