//! The query of a page of history, cursor included.

#![no_main]

use lakechat_core::chat::PageQuery;
use lakechat_core::domain::Id;
use lakechat_fuzz::query::Query;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &str| {
    let Ok(mut query) = Query::parse(Some(raw)) else {
        return;
    };
    let mut id = |name| query.take(name).and_then(|id| id.parse::<Id>().ok());
    let (before, after, around) = (id("before"), id("after"), id("around"));
    let cursor = query.take("cursor");
    let limit = query.take("limit").and_then(|limit| limit.parse().ok());
    let _ = PageQuery::new(before, after, around, cursor.as_deref(), limit);
    let _ = query.finish();
});
