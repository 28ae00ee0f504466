//! Which encryption is spoken, and that it never becomes a weaker one.

use super::*;

/// Hazard 7, both ciphers: a wallet without the tag speaks NIP-04 only.
#[tokio::test]
async fn a_wallet_that_only_speaks_nip04_is_paid_through_in_nip04() {
    for (tag, floor) in [(None, Scheme::Nip04), (Some("nip04"), Scheme::Nip04), (Some("nip04 nip44_v2"), Scheme::Nip44)]
    {
        let service = Service::new();
        let manners = Manners { info: vec![service.info(tag, ALL)], eose: true, ok: TAKEN };
        let peer = Peer::start(&service, manners, move |s, asked| {
            assert_eq!(is_nip44(&asked.event), floor == Scheme::Nip44);
            vec![Act::Send(s.reply(asked, &paid()))]
        })
        .await;
        let client = service.client(&[&peer.url], |_| {});
        assert_eq!(client.floor(), None);
        assert!(settled(&buy(&client).await));
        assert_eq!(client.floor(), Some(floor));
    }
}

/// Row "no info event"; hazard 7.
#[tokio::test]
async fn without_a_signed_description_nothing_is_encrypted_or_sent() {
    let service = Service::new();
    let stranger = Service { wallet: Keys::generate(), client: service.client.clone() };
    let mut tampered = service.info(Some("nip04"), ALL);
    tampered.content.push_str(" more");
    for (info, eose) in [(vec![], true), (vec![stranger.info(Some("nip04"), ALL), tampered], true), (vec![], false)] {
        let peer = Peer::start(&service, Manners { info, eose, ok: TAKEN }, |_, _| panic!("nothing is sent")).await;
        let client = service.client(&[&peer.url], |o| {
            if !eose {
                o.read_timeout = Duration::from_millis(200);
            }
        });
        let error = client.prepare(&bill()).await.unwrap_err();
        assert!(matches!(&error, WalletError::Unreachable(why) if why.contains("13194")), "{error}");
        assert_eq!((peer.count("EVENT"), client.floor()), (0, None));
    }
}

/// A78 "downgrade", hazard 7: within a run and from one run to the next.
#[tokio::test]
async fn the_encryption_never_goes_below_the_best_that_was_seen() {
    let service = Service::new();
    let manners = Manners { info: vec![service.info(Some("nip04"), ALL)], eose: true, ok: TAKEN };
    let old = Peer::start(&service, manners, |_, _| panic!("nothing is sent")).await;
    let remembered = service.client(&[&old.url], |o| o.floor = Some(Scheme::Nip44));
    let error = remembered.prepare(&bill()).await.unwrap_err();
    assert!(matches!(&error, WalletError::Setup(why) if why.contains("NIP-04")), "{error}");

    // The same relay first shows the true description, then an older one.
    let dial = Arc::new(Redirect::default());
    let true_one = Peer::honest(&service, |asked| error_of(asked, "UNSUPPORTED_ENCRYPTION")).await;
    dial.to(&true_one.url);
    let client = service.client(&["ws://127.0.0.1:1"], |o| o.dial = dial.clone());
    assert_eq!(refused(buy(&client).await).0, "UNSUPPORTED_ENCRYPTION");
    dial.to(&old.url);
    dial.cut();
    let error = client.prepare(&bill()).await.unwrap_err();
    assert!(matches!(&error, WalletError::Setup(why) if why.contains("NIP-04")), "{error}");
    assert_eq!((client.floor(), old.count("EVENT")), (Some(Scheme::Nip44), 0));
}

/// Hazard 7: one relay with an old description cannot lower what another one offers.
#[tokio::test]
async fn the_better_of_two_descriptions_counts() {
    let service = Service::new();
    let manners = Manners { info: vec![service.info(Some("nip04"), ALL)], eose: false, ok: TAKEN };
    let old = Peer::start(&service, manners, |_, _| vec![]).await;
    let new = Peer::honest(&service, |_| paid()).await;
    let client = service.client(&[&old.url, &new.url], |o| o.pace.grace = Duration::from_secs(20));
    assert!(settled(&buy(&client).await));
    assert_eq!(client.floor(), Some(Scheme::Nip44));
}

/// Hazard 7: an old wallet is not made to wait for better descriptions that never come.
#[tokio::test]
async fn a_nip04_wallet_behind_a_relay_without_eose_is_known_after_a_moment() {
    let service = Service::new();
    let manners = Manners { info: vec![service.info(None, ALL)], eose: false, ok: None };
    let peer = Peer::start(&service, manners, |s, asked| vec![Act::Send(s.reply(asked, &paid()))]).await;
    let began = std::time::Instant::now();
    assert!(settled(&buy(&service.client(&[&peer.url], |_| {})).await));
    assert!(began.elapsed() < Duration::from_secs(10));
}
