//! The 32 points that an MCP server which holds money must answer for, each with the tests that cover it, or with what is
//! left of it and why. A name that no longer stands anywhere fails here.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;

use crate::{
    ERAS,
    door::{Agent, Door, token},
    support::{Seller, World},
};

/// What is asked, which tests show it, and what no test shows.
const POINTS: [(&str, &[&str], &str); 32] = [
    (
        "stdio by default; HTTP only when asked for, on loopback; another address only with tokens",
        &["the_mcp_file_starts_the_server", "another_machine_may_connect_only_with_leave_a_token_and_a_name"],
        "",
    ),
    (
        "a forged Origin or Host, `null` or another port gets 403 on every path",
        &[
            "a_forged_host_or_origin_is_turned_away_on_every_path_token_or_not",
            "two_hosts_or_another_one_in_the_address_are_forged",
        ],
        "",
    ),
    (
        "a bearer token of 128 bits and more, compared in constant time, never in a URL or a log",
        &[
            "without_a_good_token_nothing_but_health_is_answered",
            "a_token_in_a_url_is_refused_even_beside_a_good_one_and_stands_in_no_log",
            "a_token_is_shown_once_and_stands_nowhere",
        ],
        "That the comparison takes constant time is read and not measured: it is the crate `subtle`'s, over digests.",
    ),
    ("no CORS, no preflight", &["no_preflight_is_answered_and_nobody_is_told_to_share"], ""),
    (
        "bodies, lines, headers, sessions, calls and streams are capped",
        &[
            "a_message_that_is_too_large_and_headers_that_are_too_many_are_refused",
            "an_overlong_line_is_dropped_without_being_kept",
            "a_session_too_many_takes_no_room_that_is_in_use",
            "calls_beyond_the_cap_are_told_that_nothing_was_paid_and_others_are_served",
            "a_request_too_many_is_refused_at_the_door",
            "connections_without_a_token_go_after_a_moment_and_when_their_place_is_needed",
            "one_agent_has_so_many_connections_and_another_has_its_own",
            "streams_of_the_older_transport_are_counted",
            "a_stream_of_the_older_transport_that_nobody_reads_is_asked_for_nothing_more",
            "an_agent_that_reads_a_large_answer_again_and_again_does_not_fill_the_memory",
        ],
        "",
    ),
    (
        "secrets come from the environment or a file of mode 600, never from the command line",
        &[
            "a_wallet_string_among_the_arguments_is_refused_and_not_repeated",
            "what_stands_open_to_others_is_named_with_the_command_that_closes_it",
            "an_open_or_unclear_config_pays_nothing",
        ],
        "A server starts no children, so none inherits the environment.",
    ),
    (
        "no secret in results, errors, standard error or the database",
        &[
            "no_secret_leaves_a_server_that_buys",
            "no_secret_leaves_a_server_that_buys_over_http",
            "no_secret_leaves_a_server_that_signs",
            "no_secret_is_in_an_error_about_the_wallet",
        ],
        "The ledger keeps preimages and tokens it bought, as the bytes it must show again; it never keeps a key.",
    ),
    (
        "the wallet's permissions are looked at",
        &["test_names_the_rights_that_are_missing", "missing_rights_and_weak_encryption_are_told"],
        "Not at the start, which must have no side effects, but by `bursar doctor` and `bursar wallet test`.",
    ),
    (
        "limits a call, a host, a window and in all, checked together with the hold",
        &[
            "a_purchase_is_held_with_its_fee_in_every_budget_and_posted_to_every_one",
            "four_processes_racing_for_the_last_room_never_exceed_the_limit",
            "agents_that_buy_at_once_stay_within_their_own_budgets_and_get_their_own_answers",
        ],
        "There is no limit of calls a minute: calls at once are capped, and money is bounded by the budgets.",
    ),
    (
        "the price is what is really paid, and it is held against what was told",
        &[
            "a_declared_price_below_the_invoice_moves_nothing",
            "a_price_above_max_price_or_the_purchase_limit_is_not_paid",
            "a_token_of_another_invoice_is_not_paid_for",
        ],
        "",
    ),
    (
        "a model can only lower a limit",
        &[
            "a_model_that_obeys_a_page_can_only_tighten",
            "a_model_lowers_and_never_raises_and_a_person_raises_up_to_the_ceiling",
            "the_limits_of_a_token_bind_and_nothing_raises_them",
            "annotations_say_what_a_tool_does_to_the_world",
        ],
        "",
    ),
    (
        "no clear yes, no payment; and a yes lifts no ceiling",
        &[
            "whatever_is_not_a_clear_yes_pays_nothing_and_the_terminal_still_can",
            "a_question_that_nobody_answers_pays_nothing_and_the_terminal_still_can",
            "an_accept_without_a_person_never_goes_beyond_a_ceiling",
            "with_a_handshake_the_question_comes_on_the_stream_of_the_call",
        ],
        "",
    ),
    (
        "a question's state is signed, bound to its call and its agent, short-lived and opens once",
        &[
            "a_state_opens_once_for_its_own_call_and_for_no_other",
            "a_forged_replayed_or_moved_state_approves_nothing",
            "without_one_the_question_is_the_answer_and_its_state_opens_once_for_its_agent",
        ],
        "",
    ),
    (
        "an equal call pays once, over cancelling, timeouts, hanging up and crashes",
        &[
            "an_explicit_key_is_one_purchase_for_ever_and_never_another_request",
            "sixty_four_equal_calls_over_two_processes_pay_once",
            "a_cancelled_call_of_a_session_finishes_and_the_equal_call_gets_its_answer_free",
            "a_stream_that_breaks_while_paying_is_asked_for_again_and_nothing_is_paid_twice",
            "a_stream_of_the_older_transport_that_breaks_while_paying_costs_nothing_twice",
            "an_answer_that_one_has_not_seen_yet_outlives_whatever_another_keeps",
            "after_a_crash_at_any_point_the_equal_call_gets_the_data_for_one_payment",
        ],
        "",
    ),
    (
        "written down before paying, reconciled and not paid again after a crash",
        &[
            "what_was_committed_and_not_sent_is_sent_as_it_is_by_the_next_process",
            "what_was_sent_before_the_crash_is_only_looked_up",
            "servers_killed_at_random_moments_lose_nothing_and_pay_nothing_twice",
        ],
        "",
    ),
    (
        "no inner address, no credential across origins, no payment behind a redirect elsewhere",
        &[
            "no_spelling_of_an_inner_address_is_ever_connected_to",
            "a_name_that_changes_its_answer_is_judged_again",
            "a_redirect_to_an_inner_address_is_not_followed",
            "a_credential_or_a_body_never_leaves_its_origin",
            "a_redirect_to_another_place_is_never_paid_at",
        ],
        "",
    ),
    (
        "a model sets only harmless headers, without line breaks",
        &[
            "a_model_sets_only_harmless_headers",
            "line_breaks_and_invisible_characters_are_refused",
            "a_model_sets_no_header_of_money_and_names_no_credential",
            "every_method_is_sent_as_it_is_meant_and_paid_once",
        ],
        "",
    ),
    (
        "answers have a size and a time, and come in pages",
        &[
            "a_compressed_bomb_is_cut_at_its_limit",
            "each_deadline_works_by_itself",
            "binary_data_is_named_and_kept_and_not_shown",
            "a_long_answer_comes_whole_in_pages_and_is_paid_once",
        ],
        "",
    ),
    (
        "a seller's words are fenced, cleaned and named as a seller's",
        &[
            "a_sellers_text_is_cleaned_and_fenced",
            "a_sellers_words_are_never_shown_as_ours",
            "what_a_seller_says_in_its_402_stands_in_no_sentence_of_ours",
            "each_hostile_listing_is_dropped_cleaned_or_flagged",
        ],
        "",
    ),
    (
        "the list of tools never changes and holds nobody else's words",
        &[
            "the_list_is_four_tools_in_few_bytes_and_always_the_same",
            "the_files_in_schemas_are_the_ones_the_code_makes",
            "the_words_about_a_tool_are_the_file_in_tools_and_nothing_else",
            "both_eras_are_served_and_the_list_of_tools_is_the_one_of_stdio",
        ],
        "",
    ),
    ("annotations are honest", &["annotations_say_what_a_tool_does_to_the_world"], ""),
    (
        "no form asks for a key; pages for approving are guarded",
        &["only_a_ticked_box_is_a_yes", "an_agent_whose_host_cannot_ask_is_told_where_a_person_can_say_yes"],
        "There are no pages: a form holds one box, and without forms the answer is a command at the terminal.",
    ),
    (
        "a panic is an answer, and the server lives",
        &[
            "a_panic_in_a_tool_is_an_answer_and_the_server_lives",
            "a_tool_that_panics_is_an_answer_and_the_server_lives_on",
            "a_panic_while_paying_is_an_error_and_the_same_server_ends_with_the_data_for_one_payment",
            "a_panic_while_paying_is_an_error_and_the_next_equal_call_pays_nothing",
        ],
        "",
    ),
    ("standard output carries JSON-RPC alone", &["standard_output_carries_nothing_but_json_rpc"], ""),
    (
        "the end of input and SIGTERM end it, with payments finished or written down; a start does nothing",
        &[
            "end_of_input_ends_an_idle_server_at_once",
            "a_host_that_hangs_up_while_paying_leaves_a_finished_purchase",
            "a_server_told_to_stop_while_paying_finishes_the_payment_and_answers",
            "a_payment_that_outlasts_the_stop_is_written_down_as_unknown",
            "a_start_touches_no_disk_no_wallet_and_no_port",
        ],
        "",
    ),
    (
        "the ledger is its owner's alone, is no link, and several servers share it",
        &[
            "the_home_and_every_file_in_it_are_for_the_owner_alone",
            "a_ledger_that_is_a_link_is_refused_and_what_it_points_to_is_not_touched",
            "four_processes_with_two_handles_each_get_exactly_the_room_there_is",
        ],
        "",
    ),
    (
        "a handle is another agent's and opens nothing",
        &[
            "one_cannot_read_resume_or_see_what_the_other_bought",
            "local_is_another_principal_with_a_purse_of_its_own",
            "a_letterbox_is_nobody_elses_and_closes_with_its_stream",
            "the_handle_of_a_free_answer_opens_no_page_for_another",
            "a_session_is_worth_nothing_with_another_token",
        ],
        "",
    ),
    (
        "every decision can be asked for afterwards",
        &[
            "limits_refusals_and_re_uses_stand_in_the_journal",
            "the_table_shows_each_row_its_reason_the_sums_and_what_is_left_within_the_terminal",
            "every_edited_row_is_named",
        ],
        "What a client calls itself is neither kept nor believed: a purchase belongs to a token's name.",
    ),
    (
        "hosts can be allowed and denied; a name that looks like another is told",
        &[
            "a_forbidden_host_is_not_paid_through_a_redirect",
            "a_host_that_looks_like_a_known_one_is_warned_of_when_it_is_looked_at",
            "a_host_with_fifty_six_tailored_fakes_for_every_query_never_comes_first_vouched_for_or_not",
        ],
        "A first purchase at a host needs no yes of its own: a person is asked by price.",
    ),
    (
        "the parts it is built of are known",
        &["the_library_that_speaks_mcp_is_pinned_and_the_lockfile_names_what_it_hashed"],
        "Advisories are asked of a database that a test cannot have; nothing is released yet that could be signed.",
    ),
    (
        "the token that opens this server goes to nobody else",
        &["the_token_of_an_agent_reaches_no_seller", "a_token_never_leaves_its_origin"],
        "",
    ),
    (
        "rubbish of every kind costs nothing and ends nothing",
        &[
            "no_malformed_call_moves_a_msat_or_ends_the_server",
            "raw_rubbish_at_the_door_moves_nothing",
            "broken_lines_are_survived",
            "two_calls_under_one_id_pay_once_and_do_no_harm",
            "what_is_not_a_message_is_refused_and_hurts_nobody",
        ],
        "",
    ),
];

fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            // Other people's software: none of our tests is there.
            if name != "peers" {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// The functions that stand below `#[test]` or `#[tokio::test]`.
fn tests_there_are() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("tests"), &mut text);
    sources(&root.join("src"), &mut text);
    let mut names = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked && !line.starts_with("//")) {
            names.insert(rest.split('(').next().unwrap_or_default().to_owned());
            marked = false;
        }
    }
    names
}

#[test]
fn each_point_names_tests_that_there_are() {
    let there = tests_there_are();
    for (n, (point, tests, _)) in POINTS.iter().enumerate() {
        assert!(!tests.is_empty(), "{} has no test: {point}", n + 1);
        for test in *tests {
            assert!(there.contains(*test), "{}: there is no test {test}", n + 1);
        }
    }
}

#[tokio::test]
async fn the_token_of_an_agent_reaches_no_seller() {
    for era in ERAS {
        let world = World::new().await;
        let seller = Seller::honest(world.node(), 21_000, "{}").await;
        let made = token(&world, "scout", &[]).await;
        let door = Door::open(&world, &[]).await;
        let agent = Agent::come(&door, &made, era).await;
        let told = agent.fetch(json!({ "url": seller.url("/a") })).await;
        assert_eq!(told.outcome(), "bought", "{}", told.text());
        let secret = made.rsplit_once('_').expect("a token").1;
        let hits = seller.hits();
        assert!(hits.len() >= 2, "asked, and asked again with what was bought");
        for hit in hits {
            assert!(!format!("{hit:?}").contains(secret), "{era:?} {hit:?}");
        }
    }
}

#[tokio::test]
async fn the_words_about_a_tool_are_the_file_in_tools_and_nothing_else() {
    let world = World::new().await;
    let made = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    for era in ERAS {
        let agent = Agent::come(&door, &made, era).await;
        let listed = agent.rpc("tools/list", json!({})).await;
        for tool in listed["result"]["tools"].as_array().expect("tools") {
            let name = tool["name"].as_str().expect("a name");
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tools/{name}.md"));
            let page = fs::read_to_string(file).expect("a page for each tool");
            let (title, about) = page.split_once('\n').expect("a title and the rest");
            assert_eq!(tool["title"], title.trim_start_matches("# "));
            assert_eq!(tool["description"], about.trim());
        }
    }
}

#[test]
fn the_library_that_speaks_mcp_is_pinned_and_the_lockfile_names_what_it_hashed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    assert!(manifest.contains("rmcp = { version = \"=3.9.0\""));
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("the lockfile");
    let foreign = lock.split("[[package]]").filter(|p| p.contains("\nsource = "));
    for package in foreign {
        assert!(package.contains("source = \"registry+https://github.com/rust-lang/crates.io-index\""), "{package}");
        assert!(package.contains("\nchecksum = \""), "{package}");
    }
}
