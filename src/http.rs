//! HTTP: the route table, handlers (parse, call, answer), error mapping, access log.
//!
//! A request passes the `guard`, which knows every path from the `route_table`, gives it an id and
//! sees to it that exactly one answer and one log line follow; what a path does is warp's part.
//! A handler answers `Result<Response, Problem>` and logs nothing about a refusal itself.

pub mod access_log;
pub mod accounts;
pub mod address_limits;
pub mod address_slots;
pub mod body;
pub mod channels;
pub mod chat;
pub mod client_addr;
pub mod connection;
pub mod context;
pub mod files;
pub mod guard;
pub mod health;
pub mod host;
pub mod listener;
pub mod metrics;
pub mod min_rate;
pub mod presence;
pub mod query;
pub mod refusal;
pub mod request;
pub mod response;
pub mod route_table;
pub mod router;
pub mod routes;
pub mod server;
pub mod stall_timer;
