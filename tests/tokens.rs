//! The estimate of what a text costs a model, beside two real tokenizers with their own vocabularies: the text of every page
//! stays within what a model is promised, whatever the seller writes.

use std::sync::LazyLock;

use bursar::purchase::tokens;
use data_encoding::{BASE32_NOPAD, BASE64, HEXLOWER, HEXUPPER};
use serde_json::{Value, json};
use tiktoken_rs::{CoreBPE, cl100k_base, o200k_base};

static TOKENIZERS: LazyLock<[CoreBPE; 2]> = LazyLock::new(|| [o200k_base().unwrap(), cl100k_base().unwrap()]);

/// The most that one of the tokenizers counts.
fn counted(text: &str) -> usize {
    TOKENIZERS.iter().map(|t| t.encode_ordinary(text).len()).max().unwrap()
}

/// Numbers that are always the same.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 8) as u8).collect()
    }

    fn text(&mut self, n: usize, of: &str) -> String {
        let of: Vec<char> = of.chars().collect();
        (0..n).map(|_| of[self.next() as usize % of.len()]).collect()
    }

    fn script(&mut self, n: usize, from: u32, to: u32) -> String {
        (0..n).filter_map(|_| char::from_u32(from + (self.next() as u32) % (to - from))).collect()
    }
}

const ENGLISH: &str = "The purse pays what a seller asks for, within limits that no model can raise, and keeps a ledger that a \
    person can audit afterwards. An error, a timeout or a second demand is never taken for a no: the hold stays, nothing is \
    signed again, and only reconciliation may void it once the liability has ended. ";
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";

/// A JSON list of so many items.
fn list(n: usize, one: impl FnMut(usize) -> Value) -> String {
    Value::Array((0..n).map(one).collect()).to_string()
}

/// What sellers send: JSON and other text of many kinds, each with its name.
fn sold() -> Vec<(&'static str, String)> {
    let mut dice = Dice(7);
    let mut kinds = vec![
        ("prose", ENGLISH.repeat(80)),
        (
            "json of prose",
            list(120, |n| json!({ "id": n, "title": &ENGLISH[n..n + 40], "text": &ENGLISH[n..n + 160] })),
        ),
        ("json of digits", list(9_000, |_| json!(dice.next() % 10))),
    ];
    let mut dice = Dice(8);
    kinds.push(("json of integers", list(2_500, |n| json!(dice.next() % 10u64.pow(n as u32 % 9 + 1)))));
    let mut dice = Dice(9);
    kinds.push(("json of fractions", list(1_200, |_| json!(dice.next() as f64 / 7_000.0))));
    let mut dice = Dice(10);
    let candle = |n: usize| json!({ "t": 1_700_000_000 + 60 * n, "o": (dice.next() % 9_999_999) as f64 / 100.0, "v": dice.next() as f64 / 3.0 });
    kinds.push(("json of candles", list(300, candle)));
    let mut dice = Dice(11);
    kinds.push(("json of hashes", list(300, |_| json!(HEXLOWER.encode(&dice.bytes(32))))));
    let mut dice = Dice(12);
    let uuid = |_| {
        json!(HEXLOWER.encode(&dice.bytes(16)).chars().enumerate().fold(String::new(), |s, (n, c)| match n {
            8 | 12 | 16 | 20 => format!("{s}-{c}"),
            _ => format!("{s}{c}"),
        }))
    };
    kinds.push(("json of uuids", list(500, uuid)));
    let mut dice = Dice(13);
    kinds.push(("json of base64", json!({ "data": BASE64.encode(&dice.bytes(15_000)) }).to_string()));
    kinds.push(("base32", BASE32_NOPAD.encode(&dice.bytes(12_000))));
    kinds.push(("upper hex", HEXUPPER.encode(&dice.bytes(10_000))));
    kinds.push((
        "keys of eleven",
        (0..2_000).map(|_| dice.text(11, &format!("{LETTERS}ABCDEFGH0123456789")) + ",").collect(),
    ));
    kinds.push((
        "json in json in json",
        json!(json!(json!(vec![json!({"a": "b", "c": [1, {"d": "e"}]}); 200]).to_string()).to_string()).to_string(),
    ));
    kinds.push(("json of nothing", json!(vec![json!([{"a": [{}], "b": null, "c": true}]); 900]).to_string()));
    kinds.push((
        "indented json",
        serde_json::to_string_pretty(&json!(vec![json!({"a": {"b": [1, {"c": [null]}]}}); 300])).unwrap(),
    ));
    let row =
        |n: usize| format!("{n},2026-11-{:02}T10:00:00Z,{}.{:06},BTC-USD\n", n % 30 + 1, n * 7, n * 7_919 % 1_000_000);
    kinds.push(("csv", (0..500).map(row).collect()));
    kinds.push((
        "xml",
        (0..300).map(|n| format!("<item id=\"{n}\"><price currency=\"usd\">{n}.50</price></item>\n")).collect(),
    ));
    kinds.push(("rust", include_str!("../src/purchase/step.rs").to_owned()));
    for (name, text) in [
        ("chinese", "今天天气很好,我们一起去公园散步。中国的经济在过去几十年里快速发展,数据接口返回结果如下,请查收。"),
        (
            "japanese",
            "今日はとても良い天気なので、公園へ散歩に行きましょう。データのインターフェースは次の結果を返します。",
        ),
        (
            "korean",
            "오늘은 날씨가 매우 좋아서 우리는 함께 공원에 산책하러 갑니다. 데이터 인터페이스는 다음 결과를 반환합니다. ",
        ),
        (
            "russian",
            "Сегодня очень хорошая погода, и мы пойдём гулять в парк. Интерфейс данных возвращает следующие результаты. ",
        ),
        ("german", "Übermäßig große Straßen führen über die Brücke; Köln grüßt Düsseldorf für schöne Gärten. "),
        (
            "finnish",
            "Tänään on todella kaunis sää, joten lähdemme kävelylle puistoon. Tietorajapinta palauttaa tulokset. ",
        ),
        (
            "swahili",
            "Leo hali ya hewa ni nzuri sana, kwa hivyo tutatembea kwenye bustani. Kiolesura cha data kinarudisha matokeo. ",
        ),
        ("turkish", "Bugün hava çok güzel, bu yüzden parkta yürüyüşe çıkacağız. Veri arayüzü sonuçları döndürür. "),
        ("thai", "วันนี้อากาศดีมาก เราจะไปเดินเล่นในสวนสาธารณะด้วยกัน ข้อมูลที่ได้รับมีดังนี้ "),
        ("arabic", "الطقس جميل جدا اليوم وسنذهب في نزهة إلى الحديقة. تعرض واجهة البيانات النتائج التالية. "),
        ("hindi", "आज मौसम बहुत अच्छा है और हम पार्क में टहलने जाएंगे। डेटा इंटरफ़ेस निम्नलिखित परिणाम देता है। "),
        ("georgian", "დღეს ძალიან კარგი ამინდია და ჩვენ წავალთ პარკში. "),
    ] {
        kinds.push((name, json!([text.repeat(300)]).to_string()));
    }
    kinds
}

/// What nobody sells, and somebody may send all the same.
fn hostile() -> Vec<(&'static str, String)> {
    let mut dice = Dice(14);
    let syllable = |dice: &mut Dice| dice.text(1, "bcdfghjklmnpqrstvwxz") + &dice.text(1, "aeiou");
    vec![
        ("letters", dice.text(20_000, LETTERS)),
        ("words of letters", (0..3_000).map(|n| dice.text(n % 11 + 1, LETTERS) + " ").collect()),
        (
            "words of syllables",
            (0..3_000).map(|n| (0..n % 5 + 1).map(|_| syllable(&mut dice)).collect::<String>() + " ").collect(),
        ),
        ("single letters", (0..10_000).map(|_| dice.text(1, LETTERS) + " ").collect()),
        ("marks", dice.text(20_000, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")),
        (
            "letters and marks",
            (0..10_000).map(|_| dice.text(1, LETTERS) + &dice.text(1, "!#$%&*+/:;<=>?@^~")).collect(),
        ),
        ("spaces", dice.text(20_000, " \t\n\r")),
        ("rare chinese", dice.script(8_000, 0x4e00, 0x9fff)),
        ("rare korean", dice.script(8_000, 0xac00, 0xd7a3)),
        ("latin letters of all languages", dice.script(8_000, 0xc0, 0x24f)),
        ("greek letters", dice.script(8_000, 0x391, 0x3c9)),
        ("hebrew letters", dice.script(8_000, 0x5d0, 0x5ea)),
        ("tibetan letters", dice.script(8_000, 0xf40, 0xfbc)),
        ("symbols", dice.script(8_000, 0x2190, 0x2bff)),
        ("pictures", dice.script(8_000, 0x1f300, 0x1f64f)),
        ("characters of no plane", dice.script(8_000, 0x20000, 0x2a000)),
    ]
}

/// The promise: what is shown at once costs less than 5,600 tokens, so that with our own words it is less than 6,000.
#[test]
fn a_page_of_anything_costs_a_model_less_than_it_is_promised() {
    for (name, text) in sold().into_iter().chain(hostile()) {
        assert!(tokens::of(&text) > tokens::PAGE, "{name} must be longer than a page: {}", tokens::of(&text));
        let shown = tokens::leading(&text, tokens::PAGE);
        let cost = counted(shown);
        println!("{name:32} {:6} characters, {cost:5} tokens", shown.chars().count());
        assert!(cost < 5_600, "{name}: {cost} tokens in {} characters", shown.chars().count());
    }
}

/// What is sold in earnest is estimated too low by at most a fifth, and by no more than three times too high, or pages
/// would be needlessly small.
#[test]
fn the_estimate_is_near_what_tokenizers_count() {
    for (name, text) in sold() {
        let (estimate, cost) = (tokens::of(&text), counted(&text));
        assert!(estimate * 5 >= cost * 4 && estimate <= cost * 33 / 10, "{name}: {estimate} for {cost}");
    }
}
