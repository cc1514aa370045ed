//! HTTP: the route table, handlers (parse, call, answer), error mapping, access log.

pub mod accounts;
pub mod answer;
pub mod fields;
pub mod files;
pub mod query;
