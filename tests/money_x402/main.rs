//! Money over x402: the real server, an MCP client, a play chain that counts every unit, and a seller that can do
//! anything a seller did to somebody. `H` numbers are the rows of the hazards of x402.
//!
//! | hazard | test |
//! |---|---|
//! | 1 a fresh signature on every 402 | `answers::whatever_the_seller_answers_...`; control: `limits::a_buyer_that_signs_anew_on_every_402_...` |
//! | 2 a settle timeout reads as a failure | `answers::whatever_the_seller_answers_...`, `::a_seller_that_took_the_money_and_demands_more_...` |
//! | 3 a pending settlement | `answers::a_pending_settlement_that_comes_through_...`, `memory::a_pending_settlement_at_a_remembered_price_...` |
//! | 4 the answer is lost | `answers::whatever_the_seller_answers_...`, `crash::a_buyer_without_a_ledger_that_is_killed_...` |
//! | 5 a retry with a new signature | `answers::a_lost_answer_that_the_seller_kept_...`, `crash::after_a_crash_around_the_second_showing_...` |
//! | 6 settled, then 5xx | `answers::whatever_the_seller_answers_...` |
//! | 7 a racing facilitator | `ways::ten_purchases_through_a_racing_facilitator_...`, `answers::a_facilitator_that_refuses_at_first_...` |
//! | 8 no cap | `ways::a_batch_that_costs_hundreds_of_times_as_much_...`, `limits::a_session_spends_its_limit_...` |
//! | 9 no sum | `limits::a_session_spends_its_limit_and_not_a_unit_more`, `::signatures_that_may_still_be_used_...` |
//! | 10 one offer capped, another signed | `rows::h10_a_cheap_offer_that_cannot_be_paid_lends_its_price_to_no_other` |
//! | 11 terms change | `answers::whatever_the_seller_answers_...`, `memory::what_moves_for_one_call_at_a_price_that_rose_...` |
//! | 12 decimals | `rows::h12_to_h16_terms_that_are_not_sound_to_the_letter_are_never_signed` |
//! | 13 the domain, 14 the contract | `ways::a_domain_that_is_not_the_tokens_own_...`, `rows::h12_to_h16_...` |
//! | 15 clocks | `ways::a_seller_whose_clock_is_ahead_is_paid`, `memory::..._at_a_remembered_price_as_well`, `limits::..._after_a_persons_yes_as_well` |
//! | 16 short and long lives | `rows::h12_to_h16_...`, `rows::h16_a_signature_lives_two_minutes_at_most_...` |
//! | 17 where terms stand | `ways::each_form_of_challenge_is_paid_once_...` |
//! | 18 `accepted` to the letter | `rows::h18_terms_come_back_as_they_were_written_...`, `memory::where_the_terms_vary_...` |
//! | 19 unknown entries | `ways::among_ways_that_cannot_be_paid_the_one_that_can_is_taken` |
//! | 20 long headers, 21 other alphabets | `rows::h20_h21_long_demands_and_other_alphabets_are_paid`, `ways::a_demand_that_is_too_large_is_refused` |
//! | 22 redirects | `answers::a_payment_never_goes_along_with_a_redirect_to_another_origin` |
//! | 23 inner addresses | `rows::h23_inner_addresses_are_asked_for_nothing` |
//! | 24 plain text, 25 the resource's name | `rows::h24_h25_plain_text_is_refused_...` |
//! | 26 not bound to a request | `rows::h26_a_payment_is_worth_one_transfer_wherever_it_is_shown` |
//! | 27 no terms, nothing sold | `rows::h27_a_402_without_terms_and_a_404_are_asked_once_...` |
//! | 28 no reason, 29 500s | `answers::whatever_the_seller_answers_...`, `::a_seller_that_never_answers_keeps_nobody_waiting` |
//! | 30 extensions echoed | `answers::a_lost_answer_that_the_seller_kept_...` (its facilitator compares the echo) |
//! | 31 several protocols | `rows::h31_of_three_protocols_at_once_one_is_paid`, `ways::among_ways_that_cannot_be_paid_...` |
//! | 32 deposits to draw on | `rows::h12_to_h16_...` |
//! | 33 accounts with code | `rows::h33_a_signature_that_a_facilitator_refuses_...`, `balance::code_at_the_address_is_warned_of` |
//! | 34 state of one shot | `rows::h34_one_purchase_spoils_no_other` |
//! | 35 bodies | `rows::h35_a_body_is_sent_twice_byte_for_byte_and_never_half` |

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod balance;
mod books;
mod crash;
mod later;
mod limits;
mod memory;
mod odd;
mod permit2;
mod person;
mod rows;
mod shop;
mod ways;
