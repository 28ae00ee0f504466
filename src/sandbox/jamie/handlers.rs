//! What the endpoints answer.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{
    endpoint::Kind,
    episodes::{Chapter, Episode, Quote, SHOWS, Show, likeness, words},
};

/// Runs an endpoint. The error is the text of a 400.
pub(super) fn handle(kind: Kind, body: &Value, base: &str) -> Result<Value, &'static str> {
    match kind {
        Kind::Discover => discover(body),
        Kind::Quotes => quotes(body, base),
        Kind::Chapters => chapters(body),
        Kind::Pull => pull(body, base),
    }
}

fn text<'a>(body: &'a Value, field: &str) -> Option<&'a str> {
    body[field].as_str().map(str::trim).filter(|s| !s.is_empty())
}

fn limit(body: &Value, default: u64, most: u64) -> usize {
    body["limit"].as_u64().unwrap_or(default).clamp(1, most) as usize
}

/// The feeds a request is limited to; empty means all.
fn in_feeds(body: &Value, show: &Show) -> bool {
    let Some(wanted) = body["feedIds"].as_array().filter(|f| !f.is_empty()) else { return true };
    let id = show.feed_id.to_string();
    wanted.iter().any(|f| f.as_str().is_some_and(|f| f == id) || f.as_u64() == Some(u64::from(show.feed_id)))
}

fn episodes() -> impl Iterator<Item = (&'static Show, &'static Episode)> {
    SHOWS.iter().flat_map(|show| show.episodes.iter().map(move |episode| (show, episode)))
}

/// Best first; equals stay in the order of the catalogue.
fn ranked<T>(found: impl Iterator<Item = (f64, T)>) -> Vec<(f64, T)> {
    let mut found: Vec<(f64, T)> = found.filter(|(score, _)| *score > 0.0).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

fn audio(episode: &Episode) -> String {
    format!("https://audio.example/{}.mp3", episode.guid)
}

fn discover(body: &Value) -> Result<Value, &'static str> {
    let query = text(body, "query").ok_or("query is required")?;
    let asked = words(query);
    let score = |show: &Show, e: &Episode| {
        let quotes: Vec<&str> = e.quotes.iter().map(|q| q.text).collect();
        likeness(&asked, &format!("{} {} {} {}", show.title, e.title, e.about, quotes.join(" ")))
    };
    let shows = SHOWS.iter().map(|show| {
        let hits = ranked(show.episodes.iter().map(|e| (score(show, e), e)));
        (hits.first().map_or(0.0, |(best, _)| *best), (show, hits))
    });
    let results: Vec<Value> = ranked(shows)
        .into_iter()
        .take(limit(body, 10, 50))
        .map(|(_, (show, hits))| {
            let transcribed = hits.iter().any(|(_, e)| e.transcribed);
            let matched: Vec<Value> = hits.iter().map(|(_, e)| described(e)).collect();
            json!({
                "feedId": show.feed_id,
                "feedGuid": show.guid,
                "title": show.title,
                "author": show.host,
                "transcriptAvailable": transcribed,
                "matchedEpisodes": matched,
                "nextSteps": next_steps(show, query, transcribed),
            })
        })
        .collect();
    let transcribed = results.iter().filter(|r| r["transcriptAvailable"] == true).count();
    Ok(json!({
        "query": query,
        "routing": "semantic",
        "total": results.len(),
        "transcribedCount": transcribed,
        "untranscribedCount": results.len() - transcribed,
        "results": results,
        "metadata": {"corpus": "sandbox", "feedsSearched": SHOWS.len()},
        "relatedEndpoints": {
            "searchQuotes": "POST /api/search-quotes",
            "requestTranscription": "POST /api/on-demand/submitOnDemandRun",
        },
    }))
}

fn described(e: &Episode) -> Value {
    json!({
        "guid": e.guid,
        "title": e.title,
        "date": e.date,
        "description": e.about,
        "guests": e.guests,
        "duration": e.seconds,
        "image": format!("https://images.example/{}.jpg", e.guid),
        "enclosureUrl": audio(e),
        "link": format!("https://podcasts.example/{}", e.guid),
        "transcriptAvailable": e.transcribed,
    })
}

fn next_steps(show: &Show, query: &str, transcribed: bool) -> Value {
    if transcribed {
        json!({"searchQuotes": {
            "endpoint": "POST /api/search-quotes",
            "bodyTemplate": {"query": query, "feedIds": [show.feed_id.to_string()], "limit": 5},
        }})
    } else {
        json!({"requestTranscription": {
            "endpoint": "POST /api/on-demand/submitOnDemandRun",
            "bodyTemplate": {"message": query, "parameters": {}, "episodes": []},
        }})
    }
}

fn quotes(body: &Value, base: &str) -> Result<Value, &'static str> {
    let query = text(body, "query").ok_or("query is required")?;
    let asked = words(query);
    let guid = text(body, "guid");
    let all = episodes()
        .filter(|(show, e)| in_feeds(body, show) && guid.is_none_or(|g| g == e.guid))
        .flat_map(|(show, e)| e.quotes.iter().map(move |q| (show, e, q)))
        // What a quote is about also stands around it: its episode counts for half.
        .map(|(show, e, q)| {
            let around = likeness(&asked, &format!("{} {} {}", e.title, e.about, q.text));
            ((likeness(&asked, q.text) + around) / 2.0, (show, e, q))
        });
    let found = ranked(all);
    let total = found.len();
    let results: Vec<Value> = found
        .into_iter()
        .take(limit(body, 5, 50))
        .map(|(score, (show, e, q))| quoted(base, show, e, q, score))
        .collect();
    Ok(json!({
        "query": query,
        "results": results,
        "total": total,
        "model": "text-embedding-ada-002",
        "relatedEndpoints": {
            "discoverPodcasts": "POST /api/discover-podcasts",
            "requestTranscription": "POST /api/on-demand/submitOnDemandRun",
        },
    }))
}

fn quoted(base: &str, show: &Show, e: &Episode, q: &Quote, score: f64) -> Value {
    let share = format!("{}_p{}", e.guid, q.span.0);
    json!({
        "shareUrl": format!("{base}/share?clip={share}"),
        "shareLink": share,
        "quote": q.text,
        "episode": e.title,
        "creator": show.title,
        "sourceLanguage": "en",
        "feedId": show.feed_id.to_string(),
        "audioUrl": audio(e),
        "episodeImage": format!("https://images.example/{}.jpg", e.guid),
        "listenLink": format!("https://podcasts.example/{}#t={}", e.guid, q.span.0),
        "date": e.date,
        "source": "sandbox",
        "similarity": {"combined": rounded(score), "vector": rounded(score), "lexical": rounded(score)},
        "timeContext": {"start_time": q.span.0, "end_time": q.span.1},
    })
}

fn rounded(score: f64) -> f64 {
    (score * 1000.0).round() / 1000.0
}

fn chapters(body: &Value) -> Result<Value, &'static str> {
    // This endpoint alone calls it `search`.
    let query = text(body, "search").ok_or("search is required")?;
    let asked = words(query);
    let found = ranked(
        episodes()
            .filter(|(show, _)| in_feeds(body, show))
            .flat_map(|(show, e)| e.chapters.iter().map(move |c| (show, e, c)))
            .map(|(show, e, c)| (likeness(&asked, &format!("{} {}", c.headline, c.keywords.join(" "))), (show, e, c))),
    );
    let (limit, page) = (limit(body, 20, 50), body["page"].as_u64().unwrap_or(1).clamp(1, 1000) as usize);
    let data: Vec<Value> = found
        .iter()
        .skip((page - 1) * limit)
        .take(limit)
        .map(|(_, (show, e, c))| json!({"chapter": chaptered(c), "episode": placed(show, e)}))
        .collect();
    Ok(json!({
        "data": data,
        "pagination": {"page": page, "limit": limit, "total": found.len(), "totalPages": found.len().div_ceil(limit)},
        "query": {"search": query},
    }))
}

fn chaptered(c: &Chapter) -> Value {
    json!({"headline": c.headline, "keywords": c.keywords, "startTime": c.span.0, "endTime": c.span.1})
}

fn placed(show: &Show, e: &Episode) -> Value {
    json!({"guid": e.guid, "title": e.title, "creator": show.title, "feedId": show.feed_id.to_string(), "date": e.date})
}

fn pull(body: &Value, base: &str) -> Result<Value, &'static str> {
    let message = text(body, "message").ok_or("message is required")?;
    let session = text(body, "sessionId").map_or_else(|| HEXLOWER.encode(&crate::random::<12>()), str::to_owned);
    let found = quotes(&json!({"query": message, "limit": 3}), base)?;
    let lines: Vec<String> = found["results"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|r| {
            Some(format!("- {} ({}): \"{}\"", r["creator"].as_str()?, r["episode"].as_str()?, r["quote"].as_str()?))
        })
        .collect();
    let answer = if lines.is_empty() {
        "Nothing in the corpus speaks about that.".to_owned()
    } else {
        format!("Here is what was said:\n{}", lines.join("\n"))
    };
    Ok(json!({
        "sessionId": session,
        "text": answer,
        "suggestedActions": [{"type": "search-quotes", "label": "Show more quotes", "query": message}],
    }))
}

/// `GET /api/corpus/stats`.
pub(super) fn corpus_stats() -> Value {
    json!({
        "totalFeeds": SHOWS.len(),
        "totalEpisodes": episodes().count(),
        "totalChapters": episodes().map(|(_, e)| e.chapters.len()).sum::<usize>(),
        "totalQuotes": episodes().map(|(_, e)| e.quotes.len()).sum::<usize>(),
    })
}

/// `GET /api/corpus/feeds`.
pub(super) fn corpus_feeds() -> Value {
    let feeds: Vec<Value> = SHOWS
        .iter()
        .map(|s| {
            json!({"feedId": s.feed_id.to_string(), "title": s.title, "author": s.host, "episodeCount": s.episodes.len()})
        })
        .collect();
    json!({"data": feeds, "pagination": {"page": 1, "limit": 50, "total": feeds.len()}})
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "podcasts where small business owners discuss payment processing challenges";

    #[test]
    fn the_seed_question_finds_the_shows_about_shops_and_not_the_one_about_stars() {
        let answer = discover(&json!({"query": SEED})).unwrap();
        let titles: Vec<&str> =
            answer["results"].as_array().unwrap().iter().filter_map(|r| r["title"].as_str()).collect();
        assert_eq!(titles[0], "The Corner Till");
        assert!(titles.len() >= 3 && !titles.contains(&"Harbour Lights Astronomy"), "{titles:?}");
        let quotes = quotes(&json!({"query": SEED}), "http://x").unwrap();
        let best = quotes["results"][0]["quote"].as_str().unwrap();
        assert!(best.starts_with("Every small business owner I know"), "{best}");
    }

    #[test]
    fn input_that_a_handler_needs_is_asked_for_by_name() {
        assert_eq!(quotes(&json!({"search": "x"}), ""), Err("query is required"));
        assert_eq!(chapters(&json!({"query": "x"})), Err("search is required"));
        assert_eq!(pull(&json!([1]), ""), Err("message is required"));
        assert_eq!(discover(&json!({"query": "  "})), Err("query is required"));
    }

    #[test]
    fn feeds_limits_and_pages_are_respected() {
        let some = quotes(&json!({"query": "processor fee payment", "feedIds": ["5238114"], "limit": 1}), "").unwrap();
        assert_eq!(some["results"].as_array().map(Vec::len), Some(1));
        assert_eq!(some["results"][0]["creator"], "Ledger & Ladle");
        let second = chapters(&json!({"search": "payment", "limit": 2, "page": 2})).unwrap();
        assert_eq!(second["pagination"]["page"], 2);
        assert!(
            chapters(&json!({"search": "payment", "page": u64::MAX})).unwrap()["data"].as_array().unwrap().is_empty()
        );
    }

    #[test]
    fn a_question_about_nothing_here_gets_an_empty_answer() {
        assert_eq!(discover(&json!({"query": "volcano insurance"})).unwrap()["total"], 0);
        let text = pull(&json!({"message": "volcano insurance"}), "").unwrap()["text"].clone();
        assert_eq!(text, "Nothing in the corpus speaks about that.");
    }
}
