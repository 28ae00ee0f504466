//! Addresses, EIP-712 and EIP-3009 against vectors that others made, and against an implementation that others wrote.

use alloy_primitives::{Address as OtherAddress, B256, U256};
use alloy_sol_types::{SolStruct, eip712_domain, sol};
use bitcoin::secp256k1::SecretKey;
use bursar::{
    evm::{
        Address,
        assets::{Assets, CHAINS, Token, chain_named},
        eip3009::{Authorization, Signed, recover, sign},
        hex, keccak256,
        permit2::{self, Permit, Permitted, Taking, Witness as PermitWitness},
        unhex, word,
    },
    money::Currency,
};
use proptest::prelude::*;
use serde_json::Value;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).unwrap()
}

/// USDC on a chain.
fn usdc(chain: &str) -> Token {
    Assets::default().of_chain(chain_named(chain).unwrap().id)[0].0.clone()
}

/// The example of the specification (5.2.1) and of all its transports, but for who pays.
fn example(from: &str) -> Authorization {
    Authorization {
        from: address(from),
        to: address("0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
        value: 10_000,
        valid_after: 1_740_672_089,
        valid_before: 1_740_672_154,
        nonce: bytes("0xf3746613c2d920b5fdabc0856f2aeb2d4f88ee6037b8cc5d04a71a4462f13480"),
    }
}

#[test]
fn keccak_is_the_one_of_ethereum() {
    assert_eq!(hex(&keccak256(b"")), "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    assert_eq!(
        hex(&keccak256(
            b"TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        )),
        "0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267"
    );
}

/// EIP-55's own examples: mixed, all capitals, all small.
#[test]
fn addresses_are_written_with_their_checksum_and_read_in_any_case() {
    for text in [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ] {
        let read = address(text);
        assert_eq!(read.to_string(), text);
        assert_eq!(address(&text.to_lowercase()), read);
        assert_eq!(address(&format!("0x{}", text[2..].to_uppercase())), read);
        for well in [text.to_owned(), text.to_lowercase(), format!("0x{}", text[2..].to_uppercase())] {
            assert!(!read.is_misspelt_in(&well), "{well}");
        }
    }
    let one_wrong = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD";
    assert!(address(one_wrong).is_misspelt_in(one_wrong));
}

#[test]
fn what_is_not_an_address_is_none() {
    let good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    for text in [
        "",
        "0x",
        "merchant",
        &good[2..],
        &good[..41],
        &format!("{good}0"),
        &good.replacen("0x", "0X", 1),
        &format!(" {good}"),
        &format!("{good}\n"),
        &good.replace('5', "g"),
        &good.replacen('5', "\u{ff15}", 1),
        "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    ] {
        assert!(text.parse::<Address>().is_err(), "{text:?}");
    }
    assert!("0x".repeat(1 << 20).parse::<Address>().is_err());
    assert!(address("0x0000000000000000000000000000000000000000").is_zero());
}

/// x402 facts 2: separators recomputed there, and equal to what the contracts say.
#[test]
fn every_pinned_token_has_the_separator_of_its_contract() {
    let table = [
        (8453, "0x02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f"),
        (84532, "0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"),
        (1, "0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335"),
        (137, "0xcaa2ce1a5703ccbe253a34eb3166df60a705c561b44b192061e28f2a985be2ca"),
        (80002, "0x5cddc98319864e897e4469bd1d13c2288c677047b54b8cca12bd342adb6be9eb"),
        (43114, "0xbbea200329a938bc3438984a49cb0732e66d66d7bd59c127abacc1710e77f7b3"),
        (43113, "0xfe9fa105a0e9629446730e544caa6b8d05d8d4fc93451750dc50e2ddd6d374b3"),
        (42161, "0x08d11903f8419e68b1b8721bcbe2e9fc68569122a77ef18c216f10b3b5112c78"),
        (143, "0xfe22123edc0dd4aeb912eb7948c5f0e531592c2053b3067612f427db342c93c6"),
        (42220, "0xb2ce31d2838445fa765a491f550e7c78ac7280ab0f3bc9d6063a86df9c3fb578"),
        (1329, "0x0a19136106ae98d2c245cbbd451f3cb2bbbb1670e1ee191abacb5a5e255c0255"),
        (10, "0x26d9c34bb1a1c312f69c53b2d93b8be20faafba63af2438c6811713c9b1f933f"),
    ];
    assert_eq!(table.len(), CHAINS.len());
    let assets = Assets::default();
    for (chain, separator) in table {
        let [(token, currency)] = &assets.of_chain(chain)[..] else { panic!("{chain} has one token") };
        assert_eq!((hex(&token.separator()).as_str(), *currency), (separator, Currency::Usd), "{chain}");
        assert_eq!(assets.find(chain, &token.address), Some((token.clone(), Currency::Usd)));
        assert_eq!(assets.find(chain + 1_000_000, &token.address), None);
    }
}

#[test]
fn chains_are_known_by_two_names_and_no_others() {
    for chain in CHAINS {
        assert_eq!(chain_named(chain.name), Some(&chain).and_then(|c| bursar::evm::assets::chain(c.id)));
        assert_eq!(chain_named(&chain.caip2()).map(|c| c.id), Some(chain.id));
    }
    for name in
        ["", "8453", "Base", "eip155:", "eip155:+8453", "eip155:08453", "EIP155:8453", "eip155:8453 ", "eip155:2"]
    {
        assert_eq!(chain_named(name), None, "{name:?}");
    }
}

/// Vector 1: the specification's own payload (x402-specification-v2 5.2.1) was really signed by the one it names.
#[test]
fn the_example_of_the_specification_is_signed_by_the_payer_it_names() {
    let signed = Signed {
        authorization: example("0x857b06519E91e3A54538791bDbb0E22373e36b66"),
        signature: bytes(
            "0x2d6a7588d6acca505cbf0d9a4a227e0c52c6c34008c8e8986a1283259764173608a2ce6496642e377d6da8dbbf5836e9bd15092f9ecab05ded3d6293af148b571c",
        ),
    };
    assert_eq!(signed.signer(&usdc("base-sepolia")), Some(signed.authorization.from));
    assert_ne!(signed.signer(&usdc("base")), Some(signed.authorization.from), "a signature is for one chain");
}

/// Vector 2: four other implementations agree on it; the key is the first one of anvil, which everybody knows.
#[test]
fn a_signature_is_the_one_that_others_make() {
    let key = SecretKey::from_slice(&bytes::<32>("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"));
    let token = usdc("base-sepolia");
    let signed = example("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266").sign(&token, &key.unwrap());
    assert_eq!(
        hex(&signed.authorization.digest(&token)),
        "0x50708d3bf7216e1aeabe7bf22081b9f36c7c287530f92510318f13a03d89dc86"
    );
    assert_eq!(
        hex(&signed.signature),
        "0xdc53a4a579de989368a0fae2ef2172ff2f474b4297013f865d171239f17ef4c3157b4b4030f1bebc53d55ace15c2377dff501a60e1e56c291f1000d6e78f082f1b"
    );
    assert_eq!(signed.signer(&token), Some(signed.authorization.from));
}

/// The payments that the reference servers took, digest by digest.
#[test]
fn the_payments_of_the_live_exchanges_have_their_digests_and_payers() {
    let live: Value = serde_json::from_str(include_str!("data/x402-live-exchanges.json")).unwrap();
    for version in ["v2", "v1"] {
        let exchange = &live[version];
        let signed: Signed = serde_json::from_value(exchange["payload"]["payload"].clone()).unwrap();
        let token = usdc("base-sepolia");
        assert_eq!(exchange["eip712_digest"], hex(&signed.authorization.digest(&token)), "{version}");
        assert_eq!(signed.signer(&token), Some(signed.authorization.from), "{version}");
        assert_eq!(serde_json::to_value(&signed).unwrap(), exchange["payload"]["payload"], "{version}");
    }
}

#[test]
fn a_signature_that_tokens_refuse_is_nobodys() {
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    let digest = keccak256(b"a digest");
    let good = sign(&digest, &key);
    let signer = recover(&digest, &good).unwrap();
    // The other half of the same signature: s' = n - s, with the other v. Curves take it, OpenZeppelin and USDC do not.
    let order = U256::from_be_bytes(bytes::<32>("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
    let low = U256::from_be_slice(&good[32..64]);
    let mut high = good;
    high[32..64].copy_from_slice(&(order - low).to_be_bytes::<32>());
    high[64] = 55 - good[64];
    assert_eq!(recover(&digest, &high), None);
    for v in [0, 1, 26, 29, 30, 31, 255] {
        assert_eq!(recover(&digest, &[&good[..64], &[v]].concat().try_into().unwrap()), None, "v = {v}");
    }
    assert_eq!(recover(&digest, &[0; 65]), None);
    assert_eq!(recover(&digest, &[0xff; 65]), None);
    assert_ne!(recover(&keccak256(b"another"), &good), Some(signer));
}

#[test]
fn numbers_on_the_wire_are_plain_decimal_strings() {
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    let good =
        serde_json::to_value(example("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266").sign(&usdc("base"), &key)).unwrap();
    for bad in ["", "+1", "-1", "01", "1.0", "1e4", "0x10", " 1", "1 ", "18446744073709551616"] {
        let mut one = good.clone();
        one["authorization"]["value"] = bad.into();
        assert!(serde_json::from_value::<Signed>(one).is_err(), "{bad:?}");
    }
    let mut number = good.clone();
    number["authorization"]["value"] = 10_000.into();
    assert!(serde_json::from_value::<Signed>(number).is_err());
    for bad in ["", "0x", "0x00", "00"] {
        let mut one = good.clone();
        one["authorization"]["nonce"] = bad.into();
        assert!(serde_json::from_value::<Signed>(one).is_err(), "{bad:?}");
    }
}

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

mod exact {
    alloy_sol_types::sol! {
        struct TokenPermissions { address token; uint256 amount; }
        struct Witness { address to; uint256 validAfter; }
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted;
            address spender;
            uint256 nonce;
            uint256 deadline;
            Witness witness;
        }
    }
}

mod upto {
    alloy_sol_types::sol! {
        struct TokenPermissions { address token; uint256 amount; }
        struct Witness { address to; address facilitator; uint256 validAfter; }
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted;
            address spender;
            uint256 nonce;
            uint256 deadline;
            Witness witness;
        }
    }
}

/// The specification's example names these contracts, and writes the nonce as a decimal or in hex.
#[test]
fn a_permit_is_read_as_the_specification_writes_it() {
    let example = |nonce: &str| {
        serde_json::json!({ "permitted": { "token": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "amount": "10000" },
            "from": "0x857b06519E91e3A54538791bDbb0E22373e36b66",
            "spender": "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
            "nonce": nonce, "deadline": "1740672154",
            "witness": { "to": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "validAfter": "1740672089" } })
    };
    let max = U256::MAX.to_string();
    for nonce in ["33247007178036348590600198031289925668252061821958005840077069883511451257277", "0", max.as_str()] {
        let permit: Permit = serde_json::from_value(example(nonce)).unwrap();
        assert!(permit.is_for(&Taking::Exact) && !permit.is_for(&Taking::UpTo { facilitator: permit.from }));
        assert_eq!(serde_json::to_value(&permit).unwrap(), example(nonce));
    }
    let in_hex = "0xf3746613c2d920b5fdabc0856f2aeb2d4f88ee6037b8cc5d04a71a4462f13480";
    assert_eq!(hex(&serde_json::from_value::<Permit>(example(in_hex)).unwrap().nonce), in_hex);
    let one_more = (U256::MAX / U256::from(10)).to_string() + "9";
    for bad in ["", "-1", "+1", "01", "1.0", "0x1", one_more.as_str(), &"9".repeat(78), &"1".repeat(79)] {
        assert!(serde_json::from_value::<Permit>(example(bad)).is_err(), "{bad}");
    }
    assert_eq!(permit2::CONTRACT.to_string(), "0x000000000022D473030F116dDEE9F6B43aC78BA3");
    let up_to = Taking::UpTo { facilitator: permit2::CONTRACT };
    assert_eq!(up_to.spender().to_string(), "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");
}

proptest! {
    /// The differential test: what is signed is what `alloy-sol-types` would sign, whatever the numbers and names.
    #[test]
    fn a_digest_is_the_one_that_alloy_makes(
        from in any::<[u8; 20]>(), to in any::<[u8; 20]>(), contract in any::<[u8; 20]>(),
        value in any::<u64>(), valid_after in any::<u64>(), valid_before in any::<u64>(), nonce in any::<[u8; 32]>(),
        chain_id in any::<u64>(), name in "\\PC{0,20}", version in "\\PC{0,4}",
    ) {
        let token = Token { chain_id, address: Address(contract), name: name.clone(), version: version.clone() };
        let ours = Authorization { from: Address(from), to: Address(to), value, valid_after, valid_before, nonce };
        let theirs = TransferWithAuthorization {
            from: OtherAddress::from(from),
            to: OtherAddress::from(to),
            value: U256::from(value),
            validAfter: U256::from(valid_after),
            validBefore: U256::from(valid_before),
            nonce: B256::from(nonce),
        };
        let domain = eip712_domain! {
            name: name,
            version: version,
            chain_id: chain_id,
            verifying_contract: OtherAddress::from(contract),
        };
        prop_assert_eq!(token.separator(), domain.separator().0);
        prop_assert_eq!(ours.digest(&token), theirs.eip712_signing_hash(&domain).0);
        prop_assert_eq!(Address(from).to_string(), OtherAddress::from(from).to_checksum(None));
        prop_assert_eq!(word(value), U256::from(value).to_be_bytes::<32>());
    }

    /// The same for Permit2, in both of its shapes.
    #[test]
    fn a_permit_has_the_digest_that_alloy_makes(
        addresses in any::<[[u8; 20]; 5]>(), amount in any::<u64>(), nonce in any::<[u8; 32]>(), deadline in any::<u64>(),
        valid_after in any::<u64>(), chain_id in any::<u64>(),
    ) {
        let [token, spender, from, to, facilitator] = addresses;
        let ours = |facilitator: Option<Address>| Permit {
            permitted: Permitted { token: Address(token), amount },
            from: Address(from),
            spender: Address(spender),
            nonce,
            deadline,
            witness: PermitWitness { to: Address(to), facilitator, valid_after },
        };
        let domain = eip712_domain! {
            name: "Permit2",
            chain_id: chain_id,
            verifying_contract: OtherAddress::from(permit2::CONTRACT.0),
        };
        prop_assert_eq!(permit2::separator(chain_id), domain.separator().0);
        let exact_theirs = exact::PermitWitnessTransferFrom {
            permitted: exact::TokenPermissions { token: OtherAddress::from(token), amount: U256::from(amount) },
            spender: OtherAddress::from(spender),
            nonce: U256::from_be_bytes(nonce),
            deadline: U256::from(deadline),
            witness: exact::Witness { to: OtherAddress::from(to), validAfter: U256::from(valid_after) },
        };
        prop_assert_eq!(ours(None).digest(chain_id), exact_theirs.eip712_signing_hash(&domain).0);
        let upto_theirs = upto::PermitWitnessTransferFrom {
            permitted: upto::TokenPermissions { token: OtherAddress::from(token), amount: U256::from(amount) },
            spender: OtherAddress::from(spender),
            nonce: U256::from_be_bytes(nonce),
            deadline: U256::from(deadline),
            witness: upto::Witness {
                to: OtherAddress::from(to),
                facilitator: OtherAddress::from(facilitator),
                validAfter: U256::from(valid_after),
            },
        };
        let upto_ours = ours(Some(Address(facilitator)));
        prop_assert_eq!(upto_ours.digest(chain_id), upto_theirs.eip712_signing_hash(&domain).0);
        let key = SecretKey::from_slice(&[7; 32]).unwrap();
        let signed = upto_ours.sign(chain_id, &key);
        let json = serde_json::to_value(&signed).unwrap();
        prop_assert_eq!(&json["permit2Authorization"]["nonce"], &Value::String(U256::from_be_bytes(nonce).to_string()));
        prop_assert_eq!(serde_json::from_value::<permit2::Signed>(json).unwrap(), signed.clone());
        let account = bursar::evm::eip3009::address_of(&key.public_key(&bitcoin::secp256k1::Secp256k1::new()));
        prop_assert_eq!(signed.signer(chain_id), Some(account));
    }

    /// Whatever is signed, its signer is found again, and `alloy-primitives` hashes alike.
    #[test]
    fn what_a_key_signed_leads_back_to_its_account(key in 1u64.., digest in any::<[u8; 32]>(), text in any::<Vec<u8>>()) {
        let key = SecretKey::from_slice(&word(key)).unwrap();
        let account = bursar::evm::eip3009::address_of(&key.public_key(&bitcoin::secp256k1::Secp256k1::new()));
        prop_assert_eq!(recover(&digest, &sign(&digest, &key)), Some(account));
        prop_assert_eq!(keccak256(&text), alloy_primitives::keccak256(&text).0);
    }
}
