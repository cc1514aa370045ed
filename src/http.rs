//! HTTP: the route table, handlers (parse, call, answer), error mapping, access log.

pub mod answer;
pub mod query;
